//! What makes a run repeat to the letter: whatever would be another each time is the same.
//!
//! Hash maps of the standard library and of `ahash` draw their keys from the system, and pauses between
//! attempts are jittered. A run has a thread of its own, because the keys are counted by thread.
#![allow(unsafe_code, reason = "the C library's function can be replaced in no other way")]

use std::sync::Once;

/// Takes the place of the C library's function in this program: the keys of hash maps come from here.
/// Nothing in a simulation needs a secret.
///
/// # Safety
///
/// `buffer` has room for `length` bytes, as whoever calls the C library's function promises.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller promises the room.
    unsafe { std::ptr::write_bytes(buffer, 7, length) };
    isize::try_from(length).unwrap_or(isize::MAX)
}

struct Same;

impl ahash::random_state::RandomSource for Same {
    fn gen_hasher_seed(&self) -> usize {
        7
    }
}

/// Runs `simulate` in virtual time, so that it is the same each time.
///
/// # Panics
///
/// If `simulate` does.
pub fn repeatable<T, F>(simulate: impl FnOnce() -> F + Send) -> T
where
    T: Send,
    F: Future<Output = T>,
{
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only if a map was made before, which is then as it was.
        ahash::random_state::set_random_source(Same).ok();
    });
    let run = move || {
        fastrand::seed(7);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        match runtime {
            Ok(runtime) => runtime.block_on(simulate()),
            Err(error) => unreachable!("a runtime without input and output: {error}"),
        }
    };
    let run = std::thread::scope(|scope| scope.spawn(run).join());
    run.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
