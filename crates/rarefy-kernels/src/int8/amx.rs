//! Integer products of 32 samples with a panel of 64 latents in the tile registers of AMX.
//!
//! A tile register has 16 rows of 64 bytes. `tdpbusd` multiplies 16 samples of 64 inputs with 16 latents: 16,384 products
//! of bytes in 16 cycles, eight times the rate of `vpdpbusd`. The compiler has no stable functions for these instructions, so they
//! are written as assembly; it never uses the registers itself.
//!
//! Linux gives a process the registers when it asks for them.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::{PANEL, QUAD};

/// Number of samples in two tile registers.
pub(super) const ROWS: usize = 32;

/// Number of inputs in a row of a tile register.
const DEPTH: usize = 64;

/// Inputs after the last whole register: their weights in a panel, followed by zeros.
pub(crate) struct Tail(Vec<i8>);

impl Tail {
    /// Last inputs of a panel `[padded / 4, 64, 4]`.
    pub(super) fn of(panel: &[i8]) -> Self {
        let whole = panel.len() / (DEPTH * PANEL) * (DEPTH * PANEL);
        let mut tail = panel[whole..].to_vec();
        if !tail.is_empty() {
            tail.resize(DEPTH * PANEL, 0);
        }
        Self(tail)
    }
}

/// True if this machine has AMX for bytes and the system lets this process use it.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| cfg!(target_os = "linux") && is_in_cpu() && is_permitted())
}

fn is_in_cpu() -> bool {
    const TILES_AND_BYTES: u32 = 1 << 24 | 1 << 25;
    #[allow(
        unused_unsafe,
        reason = "the instruction is safe in later versions of Rust"
    )]
    // SAFETY: every x86-64 has the instruction.
    let leaf = |number| unsafe { __cpuid_count(number, 0) };
    leaf(0).eax >= 7 && leaf(7).edx & TILES_AND_BYTES == TILES_AND_BYTES
}

/// Asks Linux for the tile registers; it refuses where the processor or the virtual machine has none.
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: the call has no effect on memory; an unknown request is answered with an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Tile registers of this thread (and of no other), each of 16 rows of 64 bytes, until the value is dropped.
pub(super) struct Tiles(PhantomData<*const ()>);

/// Format of the instruction `ldtilecfg`.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_a_row: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Configures the registers.
    ///
    /// # Panics
    /// Without AMX.
    pub(super) fn new() -> Self {
        assert!(available(), "this machine has no AMX");
        let mut shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_of_a_row: [0; 16],
            rows: [0; 16],
        };
        shapes.bytes_of_a_row[..8].fill(DEPTH as u16);
        shapes.rows[..8].fill(16);
        // SAFETY: the machine has AMX, and the instruction reads the 64 bytes of `shapes`.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly)) };
        Self(PhantomData)
    }

    /// Products of 32 samples with a panel; see [`tile`](super::tile()).
    ///
    /// # Shapes
    /// `x`: `[32, padded]`, more bytes may follow; `panel`: `[padded / 4, 64, 4]`; `tail`: of this panel.
    #[allow(
        clippy::unused_self,
        reason = "a value shows that the registers are configured"
    )]
    pub(super) fn products(
        &self,
        x: &[u8],
        panel: &[i8],
        tail: &Tail,
        start: &[i32; PANEL],
        sums: &mut [[i32; PANEL]; ROWS],
    ) {
        let padded = panel.len() / PANEL;
        let whole = padded / DEPTH;
        assert!(
            padded.is_multiple_of(QUAD) && panel.len() == padded * PANEL,
            "a panel has 64 latents of whole quads"
        );
        assert!(x.len() >= ROWS * padded, "32 samples");
        // Weights beyond `padded` are 0, so that the next samples' bytes there have no effect, but some must be there.
        let room = (ROWS - 1) * padded + padded.next_multiple_of(DEPTH);
        let longer;
        let x = if x.len() < room {
            longer = [x, &vec![0; room - x.len()]].concat();
            &longer
        } else {
            x
        };
        assert!(
            tail.0.len() == padded.next_multiple_of(DEPTH) * PANEL - whole * DEPTH * PANEL,
            "the tail of this panel"
        );
        for half in [0, PANEL / 2] {
            // SAFETY: the registers are configured as long as `self` lives. Each address is inside its slice, by the checks
            // above: 16 rows of 64 bytes, `padded` bytes apart, of the samples; 16 quads of 64 latents of the panel or the tail;
            // 32 of the 64 numbers of `start` and of each row of `sums`.
            unsafe {
                begin(start.as_ptr().add(half));
                for at in 0..whole {
                    let w = panel.as_ptr().add(at * DEPTH * PANEL + QUAD * half);
                    add(x.as_ptr().add(at * DEPTH), padded, w);
                }
                if !tail.0.is_empty() {
                    let w = tail.0.as_ptr().add(QUAD * half);
                    add(x.as_ptr().add(whole * DEPTH), padded, w);
                }
                end(sums.as_mut_ptr().cast::<i32>().add(half));
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the registers were configured by `new`; without them, switches of threads are cheaper.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Sets the sums of 32 samples to the starting values of 32 latents: a distance of 0 loads one row sixteen times.
unsafe fn begin(start: *const i32) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tileloadd tmm0, [{start} + {none}]",
            "tileloadd tmm1, [{start} + {none} + 64]",
            "tileloadd tmm2, [{start} + {none}]",
            "tileloadd tmm3, [{start} + {none} + 64]",
            start = in(reg) start,
            none = in(reg) 0_usize,
            options(nostack, readonly),
        );
    }
}

/// Adds the products of 64 inputs.
unsafe fn add(x: *const u8, padded: usize, w: *const i8) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tileloadd tmm6, [{w} + {quad}]",
            "tileloadd tmm4, [{x} + {padded}]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{w} + {quad} + 64]",
            "tdpbusd tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{later} + {padded}]",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            w = in(reg) w,
            quad = in(reg) QUAD * PANEL,
            x = in(reg) x,
            later = in(reg) x.wrapping_add(16 * padded),
            padded = in(reg) padded,
            options(nostack, readonly),
        );
    }
}

/// Stores the sums of 32 samples with 32 latents.
unsafe fn end(sums: *mut i32) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + 64], tmm1",
            "tilestored [{later} + {row}], tmm2",
            "tilestored [{later} + {row} + 64], tmm3",
            sums = in(reg) sums,
            later = in(reg) sums.wrapping_add(16 * PANEL),
            row = in(reg) 4 * PANEL,
            options(nostack),
        );
    }
}

/// Runs `rounds` rounds of four products of registers, each of bytes 3 and 5; returns the sum of all products.
pub(crate) fn peak(rounds: usize) -> i32 {
    let _tiles = Tiles::new();
    let (x, w) = ([3_u8; 1024], [5_i8; 1024]);
    let mut sums = [0_i32; 1024];
    // SAFETY: the registers are configured; each has the 1024 bytes that are loaded or stored, rows of 64.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "tileloadd tmm4, [{x} + {row}]",
            "tileloadd tmm6, [{w} + {row}]",
            "2:",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm6",
            "tdpbusd tmm2, tmm4, tmm6",
            "tdpbusd tmm3, tmm4, tmm6",
            "dec {rounds}",
            "jnz 2b",
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + 1024], tmm1",
            "tilestored [{sums} + {row} + 2048], tmm2",
            "tilestored [{sums} + {row} + 3072], tmm3",
            x = in(reg) x.as_ptr(),
            w = in(reg) w.as_ptr(),
            sums = in(reg) sums.as_mut_ptr(),
            row = in(reg) DEPTH,
            rounds = inout(reg) rounds.max(1) => _,
            options(nostack),
        );
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}
