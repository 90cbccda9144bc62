//! CPU instructions of the kernels, chosen once at the first call.

use std::sync::OnceLock;

/// Instruction set; each kernel is compiled once for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Baseline of the target (SSE2 on x86-64, NEON on aarch64).
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
}

impl Path {
    /// Paths that this machine can run, slowest first.
    pub fn available() -> &'static [Self] {
        match detect() {
            Self::Portable => &[Self::Portable],
            Self::Avx2 => &[Self::Portable, Self::Avx2],
            Self::Avx512 => &[Self::Portable, Self::Avx2, Self::Avx512],
        }
    }
}

/// Path in use: the one that `RAREFY_CPU` names, else the fastest of the machine.
///
/// `RAREFY_CPU` is `portable`, `avx2` or `avx512`. Other names, and paths that the machine cannot run,
/// are ignored, so that a test script can set the variable on every machine.
pub fn path() -> Path {
    choice().0
}

/// True if `RAREFY_CPU` chose the path.
pub(crate) fn forced() -> bool {
    choice().1
}

fn choice() -> (Path, bool) {
    static CHOICE: OnceLock<(Path, bool)> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        let wanted = match std::env::var("RAREFY_CPU").as_deref() {
            Ok("portable") => Some(Path::Portable),
            Ok("avx2") => Some(Path::Avx2),
            Ok("avx512") => Some(Path::Avx512),
            _ => None,
        };
        match wanted.filter(|path| Path::available().contains(path)) {
            Some(path) => (path, true),
            None => (detect(), false),
        }
    })
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Path {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw");
    match (avx2, avx512) {
        (true, true) => Path::Avx512,
        (true, false) => Path::Avx2,
        _ => Path::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Path {
    Path::Portable
}

/// Defines a public function whose body is compiled once for each [`Path`].
///
/// The body is an `#[inline(always)]` function, generic over [`Lanes`](crate::lanes::Lanes). The compiler
/// vectorises its plain loops for the instructions of each copy. The function of the second name takes
/// the path as an argument, so that tests run each copy that the machine supports.
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        pub fn $name:ident / $on:ident ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "a kernel takes its slices and sizes one by one")]
        #[inline]
        pub fn $name($($arg: $ty),*) $(-> $ret)? {
            $on($crate::cpu::path(), $($arg),*)
        }

        #[allow(clippy::too_many_arguments, reason = "as above")]
        pub(crate) fn $on(path: $crate::cpu::Path, $($arg: $ty),*) $(-> $ret)? {
            debug_assert!($crate::cpu::Path::available().contains(&path), "{path:?} cannot run here");
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? { $body::<$crate::lanes::Avx512>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? { $body::<$crate::lanes::Avx2>($($arg),*) }
                match path {
                    // SAFETY: this machine has the instructions. A `Path` is a plain value that any crate
                    // can name, but this function is private to the crate. Its callers pass `path()` or
                    // one of `Path::available()`, and both contain only paths that `detect` found.
                    $crate::cpu::Path::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::cpu::Path::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::cpu::Path::Portable => {}
                }
            }
            let _ = path;
            $body::<$crate::lanes::Portable>($($arg),*)
        }
    };
}
pub(crate) use kernel;
