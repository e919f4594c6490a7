//! What tokens cost, for agents that tell tokens and no money: a table in `prices.json`, each list with its date and
//! source.
//!
//! It is an estimate by list prices. What a provider bills for long prompts, for faster tiers or under a contract is
//! not in a stream, so it is not here.

use std::collections::BTreeMap;

use optio_core::money::{Usage, Usd};
use serde::Deserialize;

/// The list prices that this version of Optio knows.
const BUILT_IN: &str = include_str!("prices.json");

/// What the tokens of one model cost, in US dollars for a million.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens read out of the provider's cache.
    pub cached: f64,
    /// Tokens written, thoughts included.
    pub output: f64,
}

impl Price {
    /// What `used` comes to.
    #[must_use]
    pub fn of(self, used: &Usage) -> Usd {
        let cached = used.cached_tokens.min(used.input_tokens);
        let fresh = used.input_tokens - cached;
        let micros = |tokens: u64, price: f64| tokens as f64 * price;
        let sum = micros(fresh, self.input)
            + micros(cached, self.cached)
            + micros(used.output_tokens, self.output);
        Usd::from_dollars(sum / 1e6)
    }
}

/// Prices of models, from any number of lists.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceTable {
    /// The lists. Where several name a model, the first one counts.
    pub lists: Vec<PriceList>,
}

/// Prices from one source.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceList {
    /// The day on which the prices were looked up.
    pub as_of: String,
    /// Where, and what they hold for.
    pub source: String,
    /// The prices, by the model's name.
    pub models: BTreeMap<String, Price>,
}

impl Default for PriceTable {
    /// The table that is part of this program.
    fn default() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the table is a constant, and a test reads it"
        )]
        serde_json::from_str(BUILT_IN).expect("the built-in table is JSON of this shape")
    }
}

impl PriceTable {
    /// A table that knows no price.
    #[must_use]
    pub fn empty() -> Self {
        Self { lists: Vec::new() }
    }

    /// The price of a model, also of one that is called by a dated name such as `gpt-5.5-2026-04-01`, or by that of
    /// whoever offers it, such as `openai/gpt-5.5`.
    #[must_use]
    pub fn find(&self, model: &str) -> Option<Price> {
        let bare = model.rsplit('/').next().unwrap_or(model);
        self.named(model).or_else(|| self.named(bare))
    }

    fn named(&self, model: &str) -> Option<Price> {
        let dated = |name: &str| {
            model
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with("-20"))
        };
        let named = |list: &PriceList| list.models.get(model).copied();
        let all = || self.lists.iter().flat_map(|list| &list.models);
        self.lists.iter().find_map(named).or_else(|| {
            let mut named = all().filter(|(name, _)| dated(name));
            named.next_back().map(|(_, price)| *price)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_can_be_read_and_says_where_it_is_from() {
        let table = PriceTable::default();
        for list in &table.lists {
            let day = list.as_of.split('-').map(str::len).collect::<Vec<_>>();
            assert_eq!(day, [4, 2, 2], "{}", list.as_of);
            assert!(list.source.starts_with("https://"), "{}", list.source);
            for (model, price) in &list.models {
                let Price {
                    input,
                    cached,
                    output,
                } = price;
                assert!(cached <= input && input < output, "{model}");
            }
        }
    }

    #[test]
    fn cached_tokens_are_input_tokens_at_another_price() {
        let table = PriceTable::default();
        let used = Usage {
            input_tokens: 1_000_000,
            cached_tokens: 900_000,
            output_tokens: 10_000,
            cost: Usd::ZERO,
        };
        let cost = |model| table.find(model).map(|price| price.of(&used).to_string());
        assert_eq!(cost("gpt-5.5").as_deref(), Some("$1.25"));
        assert_eq!(cost("gpt-5.5-2026-04-01"), cost("gpt-5.5"));
        assert_eq!(cost("gateway/openai/gpt-5.5"), cost("gpt-5.5"));
        assert_eq!(cost("gpt-5.5-mini"), None);
        assert_eq!(cost("a-model-of-next-year"), None);
    }
}
