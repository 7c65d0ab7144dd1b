//! The allocator, as a program has it.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use haven_host::memory::{Allocator, is_lock_free_memory, lock_free};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn blocks() -> Vec<Vec<u8>> {
    (1..200).map(|n| vec![n; usize::from(n) * 97]).collect()
}

#[test]
fn what_one_allocator_gave_goes_back_to_it() {
    let before = blocks();
    lock_free();
    let after = blocks();
    assert!(before.iter().all(|block| !is_lock_free_memory(block.as_ptr())));
    assert!(after.iter().all(|block| is_lock_free_memory(block.as_ptr())));
    for mut block in before.into_iter().chain(after) {
        let value = block[0];
        block.extend_from_within(..);
        assert!(block.iter().all(|&byte| byte == value));
        std::thread::spawn(move || drop(block)).join().unwrap();
    }
    assert_eq!(vec![0_u64; 5_000].iter().sum::<u64>(), 0);
}
