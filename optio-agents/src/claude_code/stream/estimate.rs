//! What an answer of the model costs, before the program tells.
//!
//! It tells only at the end of a round, which may be hours away. Each message has its tokens, so what has been spent so
//! far is known well enough to stop a run at its budget. It is a little too low: of what the model writes, a message that
//! is under way tells only the beginning, and writing to the provider's cache is taken to cost no more than reading
//! afresh. So what the program tells in the end is never less.

use std::sync::LazyLock;

use crate::{
    json::{Json, count, text},
    price::{Price, PriceTable},
};
use optio_core::{
    money::{Usage, Usd},
    transcript::{TranscriptEvent, UsageOf},
};

static PRICES: LazyLock<PriceTable> = LazyLock::new(PriceTable::default);

/// Families of models, for those that are younger than the table: they are taken for the cheapest of theirs.
const FAMILIES: [&str; 4] = ["fable", "opus", "sonnet", "haiku"];

/// What a message of the model has used so far; nothing if it does not say.
pub(super) fn usage(message: &Json<'_>) -> Option<TranscriptEvent> {
    let id = text(&message["id"])?;
    let used = Some(&message["usage"]).filter(|used| used.is_object())?;
    let tokens = |field: &str| count(&used[field]);
    let cached = tokens("cache_read_input_tokens");
    let mut total = Usage {
        cost: Usd::ZERO,
        input_tokens: tokens("input_tokens")
            .saturating_add(cached)
            .saturating_add(tokens("cache_creation_input_tokens")),
        cached_tokens: cached,
        output_tokens: tokens("output_tokens"),
    };
    if let Some(price) = text(&message["model"]).and_then(price) {
        total.cost = price.of(&total);
    }
    Some(TranscriptEvent::Usage {
        total,
        of: UsageOf::Answer(id.to_owned()),
    })
}

/// The price of a model, however a cloud calls it: `us.anthropic.claude-sonnet-4-5-20250929-v1:0`, say.
fn price(model: &str) -> Option<Price> {
    let model = &model[model.find("claude-")?..];
    PRICES.find(model).or_else(|| {
        let family = FAMILIES.into_iter().find(|family| model.contains(family))?;
        let known = PRICES.lists.iter().flat_map(|list| &list.models);
        known
            .filter(|(name, _)| name.contains(family))
            .map(|(_, price)| *price)
            .min_by(|a, b| a.output.total_cmp(&b.output))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_the_price_of_its_name_or_the_least_of_its_family() {
        let of = |model| price(model).map(|price| price.output);
        assert_eq!(of("claude-opus-4-5"), Some(25.0));
        assert_eq!(of("claude-opus-4-5-20251101"), Some(25.0));
        let on_bedrock = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
        assert_eq!(of(on_bedrock), Some(15.0));
        assert_eq!(of("claude-opus-9"), Some(20.0));
        assert_eq!(of("claude-3-haiku-20240307"), Some(0.5));
        assert_eq!(of("glm-5"), None);
        assert_eq!(of("claude-verse-1"), None);
    }
}
