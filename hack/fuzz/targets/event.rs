#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls into it from C++")]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::event(data));
