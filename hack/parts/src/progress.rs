//! Lines for the person who waits, on standard error.

/// Prints one line of progress, written like the arguments of `format!`.
#[macro_export]
macro_rules! progress {
    ($($line:tt)*) => {
        ::std::eprintln!("parts: {}", ::std::format_args!($($line)*))
    };
}
