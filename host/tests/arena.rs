//! Memory of a program that ends soon.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use haven_host::memory::{Allocator, ends_soon, expect, is_arena_memory};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Blocks of these lengths, each filled with its own number.
fn blocks(lengths: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    lengths.enumerate().map(|(n, length)| vec![u8::try_from(n % 251).unwrap(); length]).collect()
}

fn each_holds_its_number(blocks: &[Vec<u8>]) {
    for (n, block) in blocks.iter().enumerate() {
        assert!(
            block.iter().all(|&byte| usize::from(byte) == n % 251),
            "block {n} was overwritten"
        );
    }
}

#[test]
fn small_blocks_come_from_the_arena_and_everything_goes_back_where_it_came_from() {
    let before = blocks(1..300);
    ends_soon();
    // A part of it may stand on huge pages, if the system has any.
    expect(5 << 20);
    // Every size there is, several spans of each, beside what the C library still gives.
    let mut kept = blocks((1..2_000).chain(1..2_000));
    assert!(before.iter().all(|block| !is_arena_memory(block.as_ptr())));
    assert!(kept.iter().all(|block| is_arena_memory(block.as_ptr()) == (block.capacity() <= 1024)));
    each_holds_its_number(&kept);
    // A freed block is given again, for a request of its size only.
    let gone: Vec<usize> = kept.iter().step_by(3).map(|block| block.as_ptr() as usize).collect();
    let mut n = 0;
    kept.retain(|_| {
        n += 1;
        n % 3 != 1
    });
    let again = blocks((1..2_000).step_by(3));
    assert!(again.iter().filter(|block| gone.contains(&(block.as_ptr() as usize))).count() > 200);
    each_holds_its_number(&again);
    // Blocks grow out of the arena and shrink; each address is one block's.
    let mut owners = BTreeMap::new();
    for block in &mut kept {
        let value = block[0];
        block.extend_from_within(..);
        block.truncate(block.len() / 3 + 1);
        block.shrink_to_fit();
        assert!(block.iter().all(|&byte| byte == value));
        assert!(owners.insert(block.as_ptr() as usize, block.capacity()).is_none());
    }
    for ((one, length), (next, _)) in owners.iter().zip(owners.iter().skip(1)) {
        assert!(one + length <= *next, "two blocks overlap");
    }
    // Threads free each other's blocks and take from what they freed.
    let workers: Vec<_> = before
        .into_iter()
        .chain(kept)
        .map(|block| {
            std::thread::spawn(move || {
                let length = block.len();
                drop(block);
                let block = vec![0_u64; length.div_ceil(8)];
                assert_eq!(
                    block.iter().sum::<u64>(),
                    0,
                    "a freed block was given without being cleared"
                );
                block
            })
        })
        .collect();
    for worker in workers {
        drop(worker.join().unwrap());
    }
}
