//! Memory for large arrays: it begins at a line of the cache, and lies on huge pages where the system has them.
//!
//! An array of a megabyte from the system's allocator begins 16 bytes after a page, so that each AVX-512 load of it touches two
//! lines of the cache; pages of 4 KiB need more entries than the CPU keeps. Measured on 2 cores of Zen 4 (AVX-512):
//!
//! | | 16 bytes after a line | at a line |
//! |---|---|---|
//! | exact dot product of 384 inputs, weights in the first-level cache, ns | 19.9 | 14.4 |
//! | of 768 inputs | 36.5 | 24.3 |
//!
//! With huge pages, a step of 4096 rows at 1536 -> 4096, k = 128 takes 575 to 585 ms instead of 612 to 632.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a line of the cache.
const LINE: usize = 64;
/// Smallest size, in bytes, for which the first byte is moved to the start of a line.
const LARGE: usize = 4 << 10;
/// Smallest size, in bytes, for which huge pages are asked for.
#[cfg(target_os = "linux")]
const HUGE: usize = 4 << 20;

/// System's allocator, with large arrays at the start of a line of the cache. A program names it once:
///
/// ```
/// use rarefy_kernels::memory::Lines;
/// #[global_allocator]
/// static MEMORY: Lines = Lines;
/// for count in [10_000, 3_000_000] {
///     let values = vec![1.0f32; count];
///     assert_eq!(values.as_ptr().addr() % 64, 0);
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Lines;

/// Layout of the block that holds a large array and the distance to it; `None` for an array that is left as it is.
fn around(layout: Layout) -> Option<Layout> {
    if layout.size() < LARGE || layout.align() > LINE {
        return None;
    }
    let size = layout.size().checked_add(LINE)?;
    Layout::from_size_align(size, layout.align()).ok()
}

/// Distance from the start of a block to the first line after it, 1 to 64.
fn to_line(block: *mut u8) -> usize {
    LINE - block.addr() % LINE
}

/// Start of an array of `size` bytes in its block; the byte before it keeps the distance.
///
/// # Safety
/// `block` is null or the start of a block of `size` bytes and a line.
unsafe fn place(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        return block;
    }
    let distance = to_line(block);
    // SAFETY: the distance is 1 to 64, so the array and the byte before it are inside the block.
    let start = unsafe {
        let start = block.add(distance);
        start.sub(1).write(distance as u8);
        start
    };
    ask_for_huge_pages(start, size);
    start
}

/// Distance of an array from the start of its block.
///
/// # Safety
/// `place` returned the array.
unsafe fn distance(start: *mut u8) -> usize {
    // SAFETY: `place` wrote this byte.
    unsafe { usize::from(start.sub(1).read()) }
}

/// Tells the system that huge pages are wanted; it may refuse, with no effect.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(start: *mut u8, size: usize) {
    const PAGE: usize = 4 << 10;
    if size < HUGE {
        return;
    }
    let skipped = start.addr().next_multiple_of(PAGE) - start.addr();
    let size = (size - skipped) / PAGE * PAGE;
    // SAFETY: the range is inside the array, and the advice changes neither its content nor its address.
    unsafe {
        libc::madvise(
            start.wrapping_add(skipped).cast(),
            size,
            libc::MADV_HUGEPAGE,
        )
    };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: *mut u8, _: usize) {}

// SAFETY: blocks come from the system's allocator and go back to it with the layout that they came with. An array lies inside its
// block, at a multiple of 64, which is a multiple of its alignment.
unsafe impl GlobalAlloc for Lines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout has a size above 0, and so has the wider one.
        unsafe {
            match around(layout) {
                None => System.alloc(layout),
                Some(wide) => place(System.alloc(wide), layout.size()),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above. The byte that is not 0 lies before the array.
        unsafe {
            match around(layout) {
                None => System.alloc_zeroed(layout),
                Some(wide) => place(System.alloc_zeroed(wide), layout.size()),
            }
        }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the array came from this allocator with this layout, so `around` says the same as it said then.
        unsafe {
            match around(layout) {
                None => System.dealloc(start, layout),
                Some(wide) => System.dealloc(start.sub(distance(start)), wide),
            }
        }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size fits the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (around(layout), around(new)) {
            // SAFETY: an array that is left as it is came from the system's allocator.
            (None, None) => unsafe { System.realloc(start, layout, size) },
            // SAFETY: the block came from the system's allocator with the layout `wide`.
            (Some(wide), Some(wider)) => unsafe {
                let before = distance(start);
                let block = System.realloc(start.sub(before), wide, wider.size());
                // The content is at the old distance from the start of the block.
                if !block.is_null() && to_line(block) != before {
                    let kept = layout.size().min(size);
                    block.add(to_line(block)).copy_from(block.add(before), kept);
                }
                place(block, size)
            },
            // SAFETY: as for `alloc` and `dealloc`; both arrays have at least the smaller size.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(start, layout.size().min(size));
                    self.dealloc(start, layout);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes by their position, which differ between neighbouring lines.
    fn byte(at: usize) -> u8 {
        (at % 251) as u8
    }

    #[test]
    fn arrays_begin_at_lines_and_keep_their_content_when_they_grow_and_shrink() {
        let sizes = [
            100,
            4095,
            4096,
            5000,
            100_000,
            9 << 20,
            300_000,
            4096,
            50,
            7 << 20,
            12,
        ];
        for align in [1, 4, 16, 64, 128] {
            let layout = |size: usize| Layout::from_size_align(size, align).unwrap();
            // SAFETY: each array is used inside its size, freed once, and reallocated with the layout it came with.
            unsafe {
                let mut size = sizes[0];
                let mut start = Lines.alloc_zeroed(layout(size));
                for &next in &sizes[1..] {
                    assert!((0..size).all(|at| start.add(at).read() == 0));
                    (0..size).for_each(|at| start.add(at).write(byte(at)));
                    start = Lines.realloc(start, layout(size), next);
                    assert!((0..size.min(next)).all(|at| start.add(at).read() == byte(at)));
                    let lined = start.addr().is_multiple_of(LINE.max(align));
                    assert!(
                        lined || next < LARGE,
                        "{next} bytes at {}",
                        start.addr() % LINE
                    );
                    assert!(start.addr().is_multiple_of(align));
                    Lines.dealloc(start, layout(next));
                    (start, size) = (Lines.alloc_zeroed(layout(next)), next);
                }
                Lines.dealloc(start, layout(size));
            }
        }
    }

    #[test]
    fn refused_memory_is_null() {
        let layout = Layout::from_size_align(isize::MAX as usize - 128, 16).unwrap();
        // SAFETY: the result is not used.
        assert!(unsafe { Lines.alloc(layout) }.is_null());
    }
}
