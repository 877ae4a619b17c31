//! Which token comes next: greedy, or drawn with temperature, top-k and top-p.
//!
//! The order is the usual one: temperature, then top-k, then top-p (Holtzman et al. 2019, "The Curious Case of Neural Text
//! Degeneration") on what is left. Equal logits are ordered by index, so a choice is a function of logits, seed and position.

use anyhow::{Result, bail, ensure};

use crate::shuffle::{Purpose, unit};

/// How a token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 always takes the largest.
    pub temperature: f64,
    /// Only the so many largest can be drawn.
    pub top_k: Option<usize>,
    /// Only the most likely ones whose probabilities just reach this sum can be drawn.
    pub top_p: Option<f64>,
}

impl Sampling {
    /// Always the largest logit.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: None, top_p: None };

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// Names the one that does not.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.temperature.is_finite() && self.temperature >= 0.0,
            "the temperature is {}: it must be 0 (greedy) or more",
            self.temperature
        );
        ensure!(self.top_k != Some(0), "top-k is 0: at least one token must be left to choose");
        if let Some(p) = self.top_p {
            ensure!(p > 0.0 && p <= 1.0, "top-p is {p}: it must be above 0 and at most 1");
        }
        Ok(())
    }

    /// The index of the next token, from one logit a token. `position` is that of the token in the text; together with
    /// `seed` it decides the draw.
    ///
    /// # Errors
    /// Logits that are not numbers, or none that can be chosen.
    pub fn choose(&self, logits: &[f32], seed: u64, position: u64) -> Result<usize> {
        let (tokens, shares) = self.shares(logits)?;
        let whole: f64 = shares.iter().sum();
        let mut left = unit(seed, Purpose::Token, position, 0) * whole;
        for (&token, share) in tokens.iter().zip(&shares) {
            if left < *share {
                return Ok(token);
            }
            left -= share;
        }
        // Rounding may leave a crumb behind the last one.
        Ok(tokens[shares.len() - 1])
    }

    /// How likely each token is to be chosen.
    ///
    /// # Errors
    /// As [`Sampling::choose`].
    pub fn probabilities(&self, logits: &[f32]) -> Result<Vec<f64>> {
        let (tokens, shares) = self.shares(logits)?;
        let whole: f64 = shares.iter().sum();
        let mut all = vec![0.0; logits.len()];
        for (token, share) in tokens.into_iter().zip(shares) {
            all[token] = share / whole;
        }
        Ok(all)
    }

    /// The tokens that can be chosen, the most likely first, and what is proportional to their probabilities.
    fn shares(&self, logits: &[f32]) -> Result<(Vec<usize>, Vec<f64>)> {
        self.check()?;
        let most = largest(logits);
        if most.is_nan() || most == f32::INFINITY {
            let bad = logits.iter().position(|&x| x.is_nan() || x == f32::INFINITY).unwrap_or_default();
            bail!("the logit of token {bad} is {}: the model's numbers have run away", logits[bad]);
        }
        const NONE: &str = "no token can be chosen: every logit is -inf";
        if self.temperature == 0.0 {
            ensure!(most > f32::NEG_INFINITY, NONE);
            return Ok((vec![first(logits, most)], vec![1.0]));
        }
        let mut tokens: Vec<usize> = (0..logits.len()).filter(|&i| logits[i] > f32::NEG_INFINITY).collect();
        let by_size = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
        ensure!(!tokens.is_empty(), NONE);
        if let Some(k) = self.top_k.filter(|&k| k < tokens.len()) {
            tokens.select_nth_unstable_by(k - 1, by_size);
            tokens.truncate(k);
        }
        tokens.sort_unstable_by(by_size);
        let largest = f64::from(logits[tokens[0]]);
        let mut shares: Vec<f64> =
            tokens.iter().map(|&i| ((f64::from(logits[i]) - largest) / self.temperature).exp()).collect();
        if let Some(p) = self.top_p {
            let whole: f64 = shares.iter().sum();
            let mut reached = 0.0;
            let kept = shares.iter().take_while(|&&share| {
                let wanted = reached < p * whole;
                reached += share;
                wanted
            });
            let kept = kept.count().max(1);
            shares.truncate(kept);
            tokens.truncate(kept);
        }
        Ok((tokens, shares))
    }
}

/// The largest of numbers; one that is not a number is larger than all.
fn largest(logits: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    // Lanes that do not wait for one another.
    let (mut most, mut nan) = ([f32::NEG_INFINITY; WIDE], [0u32; WIDE]);
    for chunk in logits.chunks(WIDE) {
        most.iter_mut().zip(chunk).for_each(|(most, &x)| *most = larger(*most, x));
        nan.iter_mut().zip(chunk).for_each(|(nan, x)| *nan |= u32::from(x.is_nan()));
    }
    if nan.contains(&1) { f32::NAN } else { most.into_iter().fold(f32::NEG_INFINITY, larger) }
}

/// Where a number comes first, which is there.
fn first(logits: &[f32], number: f32) -> usize {
    // A chunk is looked through as a whole: faster than one by one.
    let has = |chunk: &[f32]| chunk.iter().fold(false, |has, &x| has | (x == number));
    let before = logits.chunks(WIDE).take_while(|chunk| !has(chunk)).count() * WIDE;
    before + logits[before..].iter().take_while(|&&x| x != number).count()
}

/// Numbers that are looked at together.
const WIDE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(how: &Sampling, logits: &[f32]) -> Vec<usize> {
        let mut counts = vec![0; logits.len()];
        for position in 0..4000 {
            counts[how.choose(logits, 7, position).unwrap()] += 1;
        }
        counts
    }

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };

    #[test]
    fn greedy_takes_the_first_largest() {
        assert_eq!(Sampling::GREEDY.choose(&[0.0, 3.0, 3.0, -1.0], 0, 0).unwrap(), 1);
        assert_eq!(Sampling::GREEDY.choose(&[f32::NEG_INFINITY, -5.0], 0, 0).unwrap(), 1);
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].iter().map(|p| p.ln()).collect();
        let counts_plain = counts(&PLAIN, &logits);
        for (n, p) in counts_plain.iter().zip([0.5, 0.25, 0.125, 0.125]) {
            assert!((*n as f64 / 4000.0 - p).abs() < 0.04, "{counts_plain:?}");
        }
        // At temperature 1/2 probabilities are squared: 16 : 4 : 1 : 1.
        let cold = counts(&Sampling { temperature: 0.5, ..PLAIN }, &logits);
        assert!((cold[0] as f64 / 4000.0 - 16.0 / 22.0).abs() < 0.04, "{cold:?}");
    }

    #[test]
    fn top_k_keeps_exactly_k_and_ties_go_by_index() {
        let counts = counts(&Sampling { top_k: Some(2), ..PLAIN }, &[1.0, 2.0, 1.0, 1.0]);
        assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
        assert_eq!(counts[2..], [0, 0]);
    }

    #[test]
    fn top_p_keeps_the_one_that_crosses() {
        let logits: Vec<f32> = [0.1f32, 0.5, 0.3, 0.1].iter().map(|p| p.ln()).collect();
        let most = counts(&Sampling { top_p: Some(0.7), ..PLAIN }, &logits);
        assert!(most[1] > 0 && most[2] > 0 && most[0] == 0 && most[3] == 0, "{most:?}");
        let one = counts(&Sampling { top_p: Some(0.01), ..PLAIN }, &logits);
        assert_eq!(one, [0, 4000, 0, 0]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(PLAIN.choose(&[0.0, f32::NAN], 0, 0).unwrap_err().to_string().contains("token 1"));
        assert!(PLAIN.choose(&[f32::NEG_INFINITY], 0, 0).is_err());
        assert!(PLAIN.choose(&[], 0, 0).is_err());
        assert!(Sampling { temperature: -1.0, ..PLAIN }.check().is_err());
        assert!(Sampling { top_p: Some(0.0), ..PLAIN }.check().is_err());
        assert!(Sampling { top_k: Some(0), ..PLAIN }.check().is_err());
    }
}
