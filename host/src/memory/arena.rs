//! Memory for a program that ends soon: blocks without headers from one range of addresses, never given back.
//!
//! ```text
//!  one range, reserved, not yet backed:  | span | span | span | next ▶ …            |
//!  a thread:  span in use  | block | block | at ▶ … end |      freed blocks by size: 8, 16, 24 … LARGEST
//! ```
//!
//! A freed block goes to the list of the thread that frees it, and from there to the next request of that size; no
//! thread ever waits for another. What is larger than [`LARGEST`] or stricter aligned than [`GRAIN`] is not for here.

use std::alloc::Layout;
use std::cell::{Cell, UnsafeCell};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Block sizes are multiples of it, in bytes; blocks are aligned to it.
const GRAIN: usize = 8;

/// The largest block, in bytes.
const LARGEST: usize = 1024;

/// What a thread takes at a time, and the system backs at once, in bytes.
const SPAN: usize = 64 << 10;

/// What the system backs at once where it was told how much is coming, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// What there is before the first huge page can begin, in bytes.
const START: usize = 4 * SPAN;

/// Addresses set aside, in bytes; only what spans have been taken of is memory.
const RESERVED: usize = 16 << 30;

/// The range; `begin` is 0 until it is reserved.
#[derive(Debug)]
struct Range {
    begin: AtomicUsize,
    next: AtomicUsize,
}

static RANGE: Range = Range { begin: AtomicUsize::new(0), next: AtomicUsize::new(0) };

/// A freed block holds the address of the one freed before it.
struct Freed(*mut Self);

/// What one thread has at hand.
struct Hand {
    at: Cell<usize>,
    end: Cell<usize>,
    freed: UnsafeCell<[*mut Freed; LARGEST / GRAIN]>,
}

thread_local! {
    // Nothing is left to do for it when its thread ends, so that memory can be had until the very end.
    static HAND: Hand = const {
        Hand {
            at: Cell::new(0),
            end: Cell::new(0),
            freed: UnsafeCell::new([null_mut(); LARGEST / GRAIN]),
        }
    };
}

/// Sets the addresses aside; whether they could be had.
pub(super) fn reserve() -> bool {
    if RANGE.begin.load(Ordering::Acquire) != 0 {
        return true;
    }
    // SAFETY: new private memory at an address of the kernel's choice.
    let range = unsafe {
        libc::mmap(
            null_mut(),
            RESERVED + HUGE_PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if range == libc::MAP_FAILED {
        return false;
    }
    // Huge pages would back 2 MiB where 64 KiB are wanted. Where the kernel knows none there is nothing to turn off.
    // SAFETY: the range is this function's own.
    let _ = unsafe { libc::madvise(range, RESERVED + HUGE_PAGE, libc::MADV_NOHUGEPAGE) };
    // A little for the start, the rest from where a huge page can begin.
    let begin = (range as usize + START).next_multiple_of(HUGE_PAGE) - START;
    RANGE.next.store(begin, Ordering::Relaxed);
    let first = RANGE.begin.compare_exchange(0, begin, Ordering::AcqRel, Ordering::Acquire);
    assert!(first.is_ok(), "two threads turned to memory for programs that end soon");
    true
}

/// Lets huge pages back the next so many bytes, as far as they fill them: a fault for each small page costs more than
/// its zeros.
pub(super) fn expect(bytes: usize) {
    let begin = RANGE.begin.load(Ordering::Acquire);
    let from = RANGE.next.load(Ordering::Relaxed).next_multiple_of(HUGE_PAGE);
    let length = bytes.min(RESERVED / 2) / HUGE_PAGE * HUGE_PAGE;
    if begin == 0 || length == 0 || from - begin > RESERVED / 2 {
        return;
    }
    // Where there are none, small ones serve.
    // SAFETY: advice about a part of the range, whose content stays what it is.
    let _ = unsafe { libc::madvise(from as *mut libc::c_void, length, libc::MADV_HUGEPAGE) };
}

/// Whether the block at this address came from here.
#[inline]
pub(super) fn has(memory: *const u8) -> bool {
    let begin = RANGE.begin.load(Ordering::Relaxed);
    begin != 0 && (memory as usize).wrapping_sub(begin) < RESERVED
}

/// Whether requests like this are for here.
#[inline]
pub(super) fn suits(layout: Layout) -> bool {
    layout.size() <= LARGEST && layout.align() <= GRAIN && layout.size() > 0
}

/// The list for a block of so many bytes, more than 0 and no more than [`LARGEST`].
const fn class(size: usize) -> usize {
    (size - 1) / GRAIN
}

/// How many bytes a block really has that was asked for with so many.
const fn room(size: usize) -> usize {
    (class(size) + 1) * GRAIN
}

/// Whether a block asked for with the one size serves the other, both more than 0.
pub(super) const fn is_alike(one: usize, other: usize) -> bool {
    class(one) == class(other)
}

/// A block for a request that [`suits`]; `None` when the addresses are used up. Its content is anything.
pub(super) fn take(size: usize) -> Option<NonNull<u8>> {
    HAND.with(|hand| {
        // SAFETY: the lists are this thread's, and nothing that is called here asks for memory.
        let freed = unsafe { &mut (*hand.freed.get())[class(size)] };
        if let Some(block) = NonNull::new(*freed) {
            // SAFETY: what is in the list is a free block of at least `GRAIN` bytes, written by `give`.
            *freed = unsafe { block.as_ref().0 };
            return Some(block.cast());
        }
        let at = hand.at.get();
        if hand.end.get() - at < room(size) {
            return fresh(hand, size);
        }
        hand.at.set(at + room(size));
        NonNull::new(at as *mut u8)
    })
}

/// Takes back a block that [`take`] gave for this size.
///
/// # Safety
///
/// The block came from [`take`] with this size, and nobody uses it any more.
pub(super) unsafe fn give(memory: *mut u8, size: usize) {
    HAND.with(|hand| {
        // SAFETY: as above; the caller gives up the block, which has room for an address and is aligned to it.
        unsafe {
            let freed = &mut (*hand.freed.get())[class(size)];
            let block = memory.cast::<Freed>();
            block.write(Freed(*freed));
            *freed = block;
        }
    });
}

/// A block from what is freed in larger sizes, or else from a new span; what is left of the old one becomes a freed
/// block.
#[cold]
fn fresh(hand: &Hand, size: usize) -> Option<NonNull<u8>> {
    let (begin, length) = larger(hand, size).or_else(span)?;
    let (at, rest) = (hand.at.get(), hand.end.get() - hand.at.get());
    if rest > 0 {
        // SAFETY: the rest is smaller than the largest block, a multiple of the grain, and nobody's.
        unsafe { give(at as *mut u8, rest) };
    }
    hand.at.set(begin + room(size));
    hand.end.set(begin + length);
    NonNull::new(begin as *mut u8)
}

/// Address and length of a freed block that is larger than asked for: of the largest there are, so that one goes a long
/// way.
fn larger(hand: &Hand, size: usize) -> Option<(usize, usize)> {
    // SAFETY: the lists are this thread's, and nothing that is called here asks for memory.
    let lists = unsafe { &mut *hand.freed.get() };
    let found = (class(size) + 1..lists.len()).rev().find(|&at| !lists[at].is_null())?;
    let block = lists[found];
    // SAFETY: what is in a list is a free block, written by `give`.
    lists[found] = unsafe { (*block).0 };
    Some((block as usize, (found + 1) * GRAIN))
}

/// Address and length of a piece of the range that is this thread's from here on.
fn span() -> Option<(usize, usize)> {
    let begin = RANGE.begin.load(Ordering::Acquire);
    let span = RANGE.next.fetch_add(SPAN, Ordering::Relaxed);
    if begin == 0 || span - begin > RESERVED - SPAN {
        RANGE.next.fetch_sub(SPAN, Ordering::Relaxed);
        return None;
    }
    // A page at a time costs a fault each. Kernels before 5.14 refuse and do just that.
    // SAFETY: the span is part of the range and this thread's alone.
    let _ = unsafe { libc::madvise(span as *mut libc::c_void, SPAN, libc::MADV_POPULATE_WRITE) };
    Some((span, SPAN))
}
