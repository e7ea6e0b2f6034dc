use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// What is known of a lattice is a hundred megabytes of small pieces that stay for long. Finding room
/// between them takes glibc's allocator milliseconds now and then, and every event would wait for it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    trellis::cli::main()
}
