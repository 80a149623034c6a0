//! Ends a calculation that would take too long, with an answer instead of a missed deadline.
//!
//! There is no clock to look at, so work is estimated, from two sources. The allocator sees how many blocks of memory
//! are asked for, and how long: each will be filled. And fend polls `should_interrupt` in nearly all of its loops.
//! Some poll once a word of a number, which is cheap, others once a pass over all its words. The latter work in
//! place, so they give themselves away by polling more often between two allocations than a number has words.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use fend_core::Interrupt;

/// In units of 10 to 25 ns: about an eighth of the second that swiftd gives a plugin. There may be a second attempt, and
/// on a machine that does other things too the plugin has a part of the processor only.
const UNITS: usize = 8_000_000;

/// Numbers of a quarter of a million bits: far below the 64 MiB a plugin may use, and more than anyone wants to read.
const MAX_BLOCK: usize = 32 << 10;

/// How deep a calculation may recurse. In wasmtime the stack overflows, and ends the plugin, at some twice this;
/// elsewhere, in tests, frames are larger.
const MAX_STACK: usize = if cfg!(target_family = "wasm") { 128 << 10 } else { 1 << 20 };

thread_local! {
    static LARGEST_BLOCK: Cell<usize> = const { Cell::new(0) };
    static POLLS_SINCE_BLOCK: Cell<usize> = const { Cell::new(0) };
    static SPENT: Cell<usize> = const { Cell::new(0) };
    static STACK_BASE: Cell<usize> = const { Cell::new(0) };
}

struct Metered;

#[global_allocator]
static ALLOCATOR: Metered = Metered;

fn charge(size: usize) {
    LARGEST_BLOCK.set(LARGEST_BLOCK.get().max(size));
    POLLS_SINCE_BLOCK.set(0);
    SPENT.set(SPENT.get() + 30 + size / 8);
}

// SAFETY: everything is passed on to the system's allocator unchanged, and `charge` allocates nothing.
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        charge(size);
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

/// About where the stack ends now.
fn stack_pointer() -> usize {
    let here = 0u8;
    black_box(&raw const here) as usize
}

/// One calculation's allowance.
pub struct Budget;

impl Budget {
    pub fn new() -> Self {
        LARGEST_BLOCK.set(0);
        SPENT.set(0);
        STACK_BASE.set(stack_pointer());
        Self
    }

    pub fn is_exceeded(&self) -> bool {
        SPENT.get() > UNITS || self.is_hopeless()
    }

    /// So far beyond the budget that nothing similar is worth an attempt.
    pub fn is_hopeless(&self) -> bool {
        SPENT.get() > 2 * UNITS || LARGEST_BLOCK.get() > MAX_BLOCK
    }
}

impl Interrupt for Budget {
    fn should_interrupt(&self) -> bool {
        let largest = LARGEST_BLOCK.get();
        let polls = POLLS_SINCE_BLOCK.get() + 1;
        POLLS_SINCE_BLOCK.set(polls);
        let stack = STACK_BASE.get().saturating_sub(stack_pointer());
        let cost = if stack > MAX_STACK {
            UNITS
        } else if polls > largest / size_of::<u64>() {
            30 + largest / 96
        } else {
            30
        };
        SPENT.set(SPENT.get() + cost);
        self.is_exceeded()
    }
}
