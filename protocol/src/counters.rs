//! One counter per kind of thing that a machine counts: the same code for every machine's own `enum Count`.

/// Defines `Counters` for an `enum Count` with `#[repr(usize)]` and a constant `KINDS`, in the module that has it.
macro_rules! counters {
    () => {
        /// One counter per [`Count`].
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters([u64; Count::KINDS]);

        impl Counters {
            /// Counts one more.
            #[inline]
            pub fn add(&mut self, what: Count) {
                self.add_many(what, 1);
            }
            /// Counts `n` more.
            #[inline]
            pub fn add_many(&mut self, what: Count, n: u64) {
                self.0[what as usize] += n;
            }
            /// How many so far.
            pub const fn get(&self, what: Count) -> u64 {
                self.0[what as usize]
            }
            /// Adds another set of counters to this one.
            pub fn merge(&mut self, other: &Self) {
                for (mine, theirs) in self.0.iter_mut().zip(other.0) {
                    *mine += theirs;
                }
            }
        }
    };
}

pub(crate) use counters;
