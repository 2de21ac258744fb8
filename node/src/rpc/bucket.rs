//! The rate limit of one connection.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: fills at a rate up to a burst, and each request takes one.
pub(super) struct Bucket {
    tokens: f64,
    rate: f64,
    burst: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { tokens: burst.into(), rate: rate.into(), burst: burst.into(), filled: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When there will be one, if there is none.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + elapsed * self.rate).min(self.burst);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_up_to_its_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        let mut taken = |millis| {
            let now = start + Duration::from_millis(millis);
            (0..9).filter(|_| bucket.take(now).is_ok()).count()
        };
        assert_eq!((taken(0), taken(0), taken(110), taken(3_600_000), taken(0)), (3, 0, 1, 3, 0));
        let wait = bucket.take(start + Duration::from_secs(3_600)).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(101), "{wait:?}");
    }
}
