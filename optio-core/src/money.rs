//! Money and tokens: what runs cost, counted exactly and only ever added up.

use std::{fmt, iter::Sum, ops::AddAssign, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// US dollars, counted in whole millionths so that sums are exact. Written and parsed as a decimal such as `1.25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(u64);

/// Text that is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not an amount in US dollars: expected a number such as 2.50, not negative")]
pub struct ParseUsdError(String);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of millionths of a dollar.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The amount in millionths of a dollar.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The nearest amount to a float of dollars; zero for what is negative or no number.
    #[must_use]
    pub fn from_dollars(dollars: f64) -> Self {
        // the cast saturates and maps NaN to zero, which is what we want of an agent's report
        Self((dollars * 1e6).round() as u64)
    }

    /// The amount as a float of dollars, for display and JSON.
    #[must_use]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What is left of this amount after `spent`; zero if more was spent.
    #[must_use]
    pub const fn saturating_sub(self, spent: Self) -> Self {
        Self(self.0.saturating_sub(spent.0))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(10_000) {
            write!(f, "${:.2}", self.dollars())
        } else {
            write!(f, "${:.4}", self.dollars())
        }
    }
}

impl FromStr for Usd {
    type Err = ParseUsdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let amount = text.trim();
        match amount.strip_prefix('$').unwrap_or(amount).parse::<f64>() {
            Ok(dollars) if dollars.is_finite() && (0.0..1e12).contains(&dollars) => {
                Ok(Self::from_dollars(dollars))
            }
            _ => Err(ParseUsdError(text.to_owned())),
        }
    }
}

impl std::ops::Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| sum + amount)
    }
}

impl Serialize for Usd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if dollars.is_finite() && dollars >= 0.0 {
            Ok(Self::from_dollars(dollars))
        } else {
            Err(serde::de::Error::custom(ParseUsdError(dollars.to_string())))
        }
    }
}

/// What a run, or several added up, has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Money, as the agent reported it.
    pub cost: Usd,
    /// Tokens read by the model, cached ones included.
    pub input_tokens: u64,
    /// Those of the input tokens that came out of the provider's cache.
    pub cached_tokens: u64,
    /// Tokens written by the model.
    pub output_tokens: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cost += other.cost;
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }
}

impl Usage {
    /// What is left of this after `spent`: zero of everything of which more was spent.
    #[must_use]
    pub const fn saturating_sub(self, spent: Self) -> Self {
        Self {
            cost: self.cost.saturating_sub(spent.cost),
            input_tokens: self.input_tokens.saturating_sub(spent.input_tokens),
            cached_tokens: self.cached_tokens.saturating_sub(spent.cached_tokens),
            output_tokens: self.output_tokens.saturating_sub(spent.output_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_up_exactly_and_are_read_back() {
        let tenth = Usd::from_dollars(0.1);
        assert_eq!(
            std::iter::repeat_n(tenth, 10).sum::<Usd>(),
            Usd::from_dollars(1.0)
        );
        assert_eq!("$2.50".parse(), Ok(Usd::from_micros(2_500_000)));
        assert_eq!(Usd::from_micros(1_234_500).to_string(), "$1.2345");
        assert_eq!(
            serde_json::from_str::<Usd>("0.25").unwrap().to_string(),
            "$0.25"
        );
        for wrong in ["-1", "NaN", "ten", "", "inf", "$$5", "1e12", "1,50"] {
            assert!(wrong.parse::<Usd>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_an_agent_reports_never_becomes_a_debt() {
        for wrong in [-1.0, f64::NAN, f64::NEG_INFINITY, -0.0] {
            assert_eq!(Usd::from_dollars(wrong), Usd::ZERO, "{wrong}");
        }
        let most = Usd::from_dollars(f64::INFINITY);
        assert_eq!(most + most, most, "sums saturate");
        assert_eq!(Usd::ZERO.saturating_sub(most), Usd::ZERO);
        for wrong in ["-0.5", "\"5\"", "null"] {
            assert!(serde_json::from_str::<Usd>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn usage_is_stored_by_these_names_and_adds_up() {
        let mut usage: Usage = serde_json::from_str("{}").unwrap();
        let run = Usage {
            cost: Usd::from_dollars(0.1),
            input_tokens: 100,
            cached_tokens: 60,
            output_tokens: u64::MAX,
        };
        usage += run;
        usage += run;
        insta::assert_snapshot!(serde_json::to_string(&usage).unwrap(),
            @r#"{"cost":0.2,"inputTokens":200,"cachedTokens":120,"outputTokens":18446744073709551615}"#);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn an_amount_survives_its_text_and_its_json(micros in 0_u64..1_000_000_000_000_000) {
            let amount = Usd::from_micros(micros);
            let json = serde_json::to_string(&amount).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Usd>(&json).unwrap(), amount);
            let text = format!("${}.{:06}", micros / 1_000_000, micros % 1_000_000);
            proptest::prop_assert_eq!(text.parse::<Usd>(), Ok(amount));
        }
    }
}
