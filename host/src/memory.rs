//! Memory: the daemon's threads must not wait for each other's; the commands want little of it and soon, and the one
//! that plans a whole cluster most of all (ADR 3).
#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

mod arena;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU8, Ordering};

use libmimalloc_sys::{
    mi_free, mi_is_in_heap_region, mi_malloc_aligned, mi_realloc_aligned, mi_zalloc_aligned,
};

/// The C library's memory until [`lock_free`] or [`ends_soon`] was called, from then on mimalloc's or, for small blocks,
/// an arena's. What came from one goes back to it.
#[derive(Debug)]
pub struct Allocator;

/// Where memory comes from, one of the three below.
static SOURCE: AtomicU8 = AtomicU8::new(C_LIBRARY);

const C_LIBRARY: u8 = 0;
const LOCK_FREE: u8 = 1;
const ARENA: u8 = 2;

/// From here on no thread waits for another's memory: with the C library's allocator the heartbeat thread
/// waited tens of milliseconds for a lock while another took in a big configuration.
pub fn lock_free() {
    SOURCE.store(LOCK_FREE, Ordering::Release);
}

/// From here on small blocks come from an arena that never shrinks, fast and without headers: for a command that plans,
/// prints and ends. Called once, before there are threads; without effect where addresses are rationed.
pub fn ends_soon() {
    if arena::reserve() {
        SOURCE.store(ARENA, Ordering::Release);
    }
}

/// Says after [`ends_soon`] how many bytes are coming, at least, so that the system backs them with huge pages. Without
/// effect where it has none.
pub fn expect(bytes: usize) {
    arena::expect(bytes);
}

#[inline]
fn source() -> u8 {
    SOURCE.load(Ordering::Acquire)
}

/// Whether this memory is mimalloc's. Answered without a look at it while nothing is.
#[must_use]
pub fn is_lock_free_memory(memory: *const u8) -> bool {
    // SAFETY: the call looks the address up and reads nothing behind it.
    source() == LOCK_FREE && unsafe { mi_is_in_heap_region(memory.cast::<c_void>()) }
}

/// Whether this memory is the arena's.
#[must_use]
pub fn is_arena_memory(memory: *const u8) -> bool {
    arena::has(memory)
}

/// A small block, where they come from the arena.
#[inline]
fn small(layout: Layout) -> Option<NonNull<u8>> {
    if arena::suits(layout) { arena::take(layout.size()) } else { None }
}

// SAFETY: every block is given by one of three sound allocators, resized and taken back by the same one, since
// mimalloc and the arena know their own addresses; sizes and alignments are passed on as they come.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let source = source();
        if source == LOCK_FREE {
            // SAFETY: size and alignment are those of a valid layout.
            unsafe { mi_malloc_aligned(layout.size(), layout.align()) }.cast()
        } else if source == ARENA
            && let Some(block) = small(layout)
        {
            block.as_ptr()
        } else {
            // SAFETY: the caller's promise is the same.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let source = source();
        if source == LOCK_FREE {
            // SAFETY: size and alignment are those of a valid layout.
            unsafe { mi_zalloc_aligned(layout.size(), layout.align()) }.cast()
        } else if source == ARENA
            && let Some(block) = small(layout)
        {
            // SAFETY: the block has room for so many bytes.
            unsafe { block.write_bytes(0, layout.size()) };
            block.as_ptr()
        } else {
            // SAFETY: the caller's promise is the same.
            unsafe { System.alloc_zeroed(layout) }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if is_arena_memory(memory) {
            // SAFETY: the block is the arena's, and nobody uses it any more.
            unsafe { arena::give(memory, layout.size()) }
        } else if is_lock_free_memory(memory) {
            // SAFETY: the block is mimalloc's, and nobody uses it any more.
            unsafe { mi_free(memory.cast()) }
        } else {
            // SAFETY: the block is the C library's, with the layout it was asked for.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_arena_memory(memory) {
            // SAFETY: the block is the arena's, with the layout it was asked for.
            unsafe { self.outgrow(memory, layout, size) }
        } else if is_lock_free_memory(memory) {
            // SAFETY: the block is mimalloc's; the alignment is the one it was asked for with.
            unsafe { mi_realloc_aligned(memory.cast(), size, layout.align()) }.cast()
        } else {
            // SAFETY: the block is the C library's, with the layout it was asked for.
            unsafe { System.realloc(memory, layout, size) }
        }
    }
}

impl Allocator {
    /// Gives an arena's block another size: the same block while it has room, else another with its content.
    ///
    /// # Safety
    ///
    /// As for [`GlobalAlloc::realloc`], for a block of the arena.
    unsafe fn outgrow(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if arena::is_alike(layout.size(), size) {
            return memory;
        }
        // SAFETY: the caller's promise: not zero, and no overflow when rounded up to the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above.
        let other = unsafe { self.alloc(wanted) };
        if other.is_null() {
            return null_mut();
        }
        // SAFETY: two blocks, each at least so long; the old one is given up.
        unsafe {
            other.copy_from_nonoverlapping(memory, layout.size().min(size));
            arena::give(memory, layout.size());
        }
        other
    }
}
