//! Dense products `c (+)= op(a) op(b)` on one thread; callers divide the rows among threads.

use gemm_common::Parallelism;

use crate::cpu::{Path, forced, kernel, path};
use crate::lanes::Lanes;
use crate::math::fma;

/// Orientation of an operand: as stored, or transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Matrix as stored.
    N,
    /// Transposed matrix.
    T,
}

/// f32 product `c = op(a) op(b)`, or `c += op(a) op(b)` with `add`.
///
/// # Shapes
/// `c`: `[m, n]`; `op(a)`: `[m, k]`, so `a` is stored `[m, k]` or, with [`Op::T`], `[k, m]`;
/// `op(b)`: `[k, n]`, stored `[k, n]` or `[n, k]`.
///
/// # Panics
/// If a slice does not have the length that its shape asks for.
///
/// # Numerics
/// Products and sums are f32, in an order that depends only on the shapes and the instructions: those of the `gemm` crate on
/// AVX2 and AVX-512, also if `RAREFY_CPU` names one of these paths. If it names `portable`, our own loops replace them, which
/// allocate a copy of `b` with [`Op::T`].
///
/// # Example
/// ```
/// use rarefy_kernels::matmul::{Op, matmul};
/// let mut c = [0.0; 1];
/// matmul(&mut c, false, (&[1.0, 2.0], Op::N), (&[3.0, 4.0], Op::T), [1, 1, 2]);
/// assert_eq!(c, [11.0]);
/// ```
#[track_caller]
pub fn matmul(c: &mut [f32], add: bool, a: (&[f32], Op), b: (&[f32], Op), [m, n, k]: [usize; 3]) {
    check([a.0.len(), b.0.len(), c.len()], [m, n, k]);
    match (forced(), path()) {
        (true, Path::Portable) => plain(c, add, a, b, [m, n, k]),
        #[cfg(target_arch = "x86_64")]
        (true, Path::Avx2) => library(avx2, c, add, a, b, [m, n, k], 1.0),
        // The crate's own choice is the path.
        _ => {
            let product = gemm_f32::gemm::f32::get_gemm_fn();
            library(product, c, add, a, b, [m, n, k], 1.0);
        }
    }
}

/// The `gemm` crate's product for AVX2, on a machine where the crate would choose AVX-512.
#[cfg(target_arch = "x86_64")]
#[allow(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
    reason = "as all products of the crate"
)]
unsafe fn avx2(
    m: usize,
    n: usize,
    k: usize,
    dst: *mut f32,
    dst_cs: isize,
    dst_rs: isize,
    read_dst: bool,
    lhs: *const f32,
    lhs_cs: isize,
    lhs_rs: isize,
    rhs: *const f32,
    rhs_cs: isize,
    rhs_rs: isize,
    alpha: f32,
    beta: f32,
    conj_dst: bool,
    conj_lhs: bool,
    conj_rhs: bool,
    parallelism: Parallelism,
) {
    use gemm_common::simd::{MixedSimd, V3};
    use gemm_f32::microkernel::fma::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
    /// Values in a register.
    const N: usize = 8;
    let instructions = <V3 as MixedSimd<f32, f32, f32, f32>>::try_new();
    // SAFETY: the caller's.
    unsafe {
        gemm_common::gemm::gemm_basic_generic::<_, f32, N, { MR_DIV_N * N }, NR, MR_DIV_N, H_M, H_N>(
            instructions.expect("the path was detected"),
            m,
            n,
            k,
            dst,
            dst_cs,
            dst_rs,
            read_dst,
            lhs,
            lhs_cs,
            lhs_rs,
            rhs,
            rhs_cs,
            rhs_rs,
            alpha,
            beta,
            conj_dst,
            conj_lhs,
            conj_rhs,
            |a, b, c| a * b + c,
            &UKR,
            &H_UKR,
            false,
            parallelism,
        );
    }
}

/// f64 product `c = op(a) op(b)`, for statistics such as covariances. Shapes as in [`matmul`].
///
/// # Panics
/// If a slice does not have the length that its shape asks for.
///
/// # Numerics
/// Always the `gemm` crate's product, which chooses its instructions by itself: `RAREFY_CPU` has no
/// effect here.
#[track_caller]
pub fn matmul_f64(
    c: &mut [f64],
    add: bool,
    a: (&[f64], Op),
    b: (&[f64], Op),
    [m, n, k]: [usize; 3],
) {
    check([a.0.len(), b.0.len(), c.len()], [m, n, k]);
    let product = gemm_f64::gemm::f64::get_gemm_fn();
    library(product, c, add, a, b, [m, n, k], 1.0);
}

/// A product of the `gemm` crates `c = alpha c + beta a b`: sizes m, n and k, pointers with strides of columns and rows,
/// whether c is read, alpha and beta, conjugates of complex values, and threads.
type Product<T> = unsafe fn(
    usize,
    usize,
    usize,
    *mut T,
    isize,
    isize,
    bool,
    *const T,
    isize,
    isize,
    *const T,
    isize,
    isize,
    T,
    T,
    bool,
    bool,
    bool,
    Parallelism,
);

/// Product by a `gemm` crate on this thread, with sizes that [`check`] has accepted.
fn library<T: Copy>(
    product: Product<T>,
    c: &mut [T],
    add: bool,
    a: (&[T], Op),
    b: (&[T], Op),
    [m, n, k]: [usize; 3],
    one: T,
) {
    let (a_row, a_col) = strides(a.1, m, k);
    let (b_row, b_col) = strides(b.1, k, n);
    // The crate prefers a result whose columns are contiguous: it gets `c^T = op(b)^T op(a)^T`.
    // SAFETY: `check` made every (row, column) of the three shapes, taken with these strides, an
    // index inside its slice; `c` is borrowed mutably, so it overlaps neither a nor b. The crate
    // chooses a product whose instructions this machine has.
    unsafe {
        product(
            n,
            m,
            k,
            c.as_mut_ptr(),
            n as isize,
            1,
            add,
            b.0.as_ptr(),
            b_row,
            b_col,
            a.0.as_ptr(),
            a_row,
            a_col,
            one,
            one,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Panics unless each slice is as long as its shape asks for. Sizes are multiplied with an overflow
/// check: a wrapped product could equal the length of a short slice.
#[track_caller]
fn check([a, b, c]: [usize; 3], [m, n, k]: [usize; 3]) {
    assert!(
        m.checked_mul(k) == Some(a) && k.checked_mul(n) == Some(b) && m.checked_mul(n) == Some(c),
        "a product [{m}, {k}] x [{k}, {n}] with slices of {a}, {b} and {c} values"
    );
}

/// Row and column stride of `op(matrix)` with `rows` rows and `cols` columns.
fn strides(op: Op, rows: usize, cols: usize) -> (isize, isize) {
    match op {
        Op::N => (cols as isize, 1),
        Op::T => (1, rows as isize),
    }
}

fn plain(c: &mut [f32], add: bool, a: (&[f32], Op), b: (&[f32], Op), [m, n, k]: [usize; 3]) {
    if !add {
        c.fill(0.0);
    }
    let transposed;
    // The loops below read b row by row.
    let b = match b.1 {
        Op::N => b.0,
        Op::T => {
            transposed = transpose(b.0, n, k);
            &transposed[..]
        }
    };
    let (a_row, a_col) = strides(a.1, m, k);
    plain_rows(c, a.0, a_row as usize, a_col as usize, b, k, n);
}

/// Transpose of a row-major matrix: `[rows, cols]` becomes `[cols, rows]`.
///
/// # Panics
/// If `values` has fewer than `rows * cols` values.
///
/// # Example
/// ```
/// let matrix = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// assert_eq!(rarefy_kernels::matmul::transpose(&matrix, 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// ```
pub fn transpose<V: Copy>(values: &[V], rows: usize, cols: usize) -> Vec<V> {
    (0..rows * cols)
        .map(|i| values[(i % rows) * cols + i / rows])
        .collect()
}

kernel! {
    /// Product `c += a b` row by row in our own loops, for a path set by `RAREFY_CPU`.
    pub fn plain_rows / plain_rows_on(
        c: &mut [f32],
        a: &[f32],
        a_row: usize,
        a_col: usize,
        b: &[f32],
        k: usize,
        n: usize,
    ) = rows
}

#[inline(always)]
fn rows<L: Lanes>(
    c: &mut [f32],
    a: &[f32],
    a_row: usize,
    a_col: usize,
    b: &[f32],
    k: usize,
    n: usize,
) {
    for (i, c) in c.chunks_exact_mut(n).enumerate() {
        for l in 0..k {
            let weight = a[i * a_row + l * a_col];
            let b = &b[l * n..(l + 1) * n];
            for j in 0..n {
                c[j] = fma::<L>(weight, b[j], c[j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the range of sizes: twice this number wraps to 0, the length of an empty slice.
    const HUGE: usize = 1 << (usize::BITS - 1);

    #[test]
    #[should_panic(expected = "with slices of 0, 0 and 4 values")]
    fn f32_sizes_with_a_wrapping_product_are_refused() {
        matmul(
            &mut [0.0; 4],
            false,
            (&[], Op::N),
            (&[], Op::N),
            [2, 2, HUGE],
        );
    }

    #[test]
    #[should_panic(expected = "with slices of 0, 0 and 4 values")]
    fn f64_sizes_with_a_wrapping_product_are_refused() {
        matmul_f64(
            &mut [0.0; 4],
            false,
            (&[], Op::N),
            (&[], Op::N),
            [2, 2, HUGE],
        );
    }
}
