//! Memory: the daemon's threads must not wait for each other's, the commands want little of it and soon (ADR 3).
#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

use libmimalloc_sys::{
    mi_free, mi_is_in_heap_region, mi_malloc_aligned, mi_realloc_aligned, mi_zalloc_aligned,
};

/// The C library's memory until [`lock_free`] was called, mimalloc's from then on. What came from the one
/// goes back to it.
#[derive(Debug)]
pub struct Allocator;

static LOCK_FREE: AtomicBool = AtomicBool::new(false);

/// From here on no thread waits for another's memory: with the C library's allocator the heartbeat thread
/// waited tens of milliseconds for a lock while another took in a big configuration.
pub fn lock_free() {
    LOCK_FREE.store(true, Ordering::Release);
}

fn is_lock_free() -> bool {
    LOCK_FREE.load(Ordering::Acquire)
}

/// Whether this memory is mimalloc's. Answered without a look at it while nothing is.
#[must_use]
pub fn is_lock_free_memory(memory: *const u8) -> bool {
    // SAFETY: the call looks the address up and reads nothing behind it.
    is_lock_free() && unsafe { mi_is_in_heap_region(memory.cast::<c_void>()) }
}

// SAFETY: every block is given by one of two sound allocators, resized and taken back by the same one, since
// mimalloc knows its own addresses; sizes and alignments are passed on as they come.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_lock_free() {
            // SAFETY: size and alignment are those of a valid layout.
            unsafe { mi_malloc_aligned(layout.size(), layout.align()) }.cast()
        } else {
            // SAFETY: the caller's promise is the same.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_lock_free() {
            // SAFETY: size and alignment are those of a valid layout.
            unsafe { mi_zalloc_aligned(layout.size(), layout.align()) }.cast()
        } else {
            // SAFETY: the caller's promise is the same.
            unsafe { System.alloc_zeroed(layout) }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if is_lock_free_memory(memory) {
            // SAFETY: the block is mimalloc's, and nobody uses it any more.
            unsafe { mi_free(memory.cast()) }
        } else {
            // SAFETY: the block is the C library's, with the layout it was asked for.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_lock_free_memory(memory) {
            // SAFETY: the block is mimalloc's; the alignment is the one it was asked for with.
            unsafe { mi_realloc_aligned(memory.cast(), size, layout.align()) }.cast()
        } else {
            // SAFETY: the block is the C library's, with the layout it was asked for.
            unsafe { System.realloc(memory, layout, size) }
        }
    }
}
