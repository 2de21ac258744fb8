#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hyperspace_fuzz::events(bytes);
});
