//! The tasks of the demo: what each is about, what its agent does, and how it has to end.

use optio_core::task::StateName;

/// A task of the demo.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its title.
    pub(super) title: &'static str,
    /// What it shows.
    pub(super) shows: &'static str,
    /// Lower runs first.
    pub(super) priority: i32,
    /// The task that must be completed first, by its place in the plan.
    pub(super) after: Option<usize>,
    /// How it has to end.
    pub(super) ends_as: StateName,
    /// What its agent does.
    pub(super) script: &'static str,
}

/// The script of a task whose review agent is content.
macro_rules! with_approval {
    ($script:literal) => {
        concat!($script, "\n[review]\nsay I have read the change.\ncost 0.01 900 60\nverdict approve It does what was asked.\n")
    };
}

/// In the order in which they are submitted.
pub(super) const PLAN: &[Planned] = &[
    Planned {
        title: "Call the shop Sunny Corner",
        shows: "straight through",
        priority: 10,
        after: None,
        ends_as: StateName::Completed,
        script: with_approval!(
            "
[first]
say Renaming the shop.
sleep 400
edit README.md <<END
# Sunny Corner

What it sells stands in prices/.
END
commit Call the shop Sunny Corner
cost 0.04 5200 310
"
        ),
    },
    Planned {
        title: "Call the shop Corner & Co",
        shows: "conflict with a sibling",
        priority: 10,
        after: None,
        ends_as: StateName::Completed,
        script: with_approval!(
            "
[first]
say Renaming the shop, without knowing of the other task.
sleep 900
edit README.md <<END
# Corner & Co

What it sells stands in prices/.
END
commit Call the shop Corner & Co
cost 0.05 5400 300
[resume-conflict]
think The other name came first. I merge and keep both.
try git merge origin/main
edit README.md <<END
# Sunny Corner & Co

What it sells stands in prices/.
END
commit Merge main and keep both names
cost 0.03 2100 180
"
        ),
    },
    Planned {
        title: "Bread is cheaper in summer",
        shows: "red checks first",
        priority: 20,
        after: None,
        ends_as: StateName::Completed,
        script: with_approval!(
            "
[first]
say Taking an eighth off the price of bread.
edit prices/bakery.txt <<END
bread 250-12.5%
roll 40
END
commit Take an eighth off bread
cost 0.06 6100 420
[resume-ci]
think The check wants whole cents.
run sh .optio/check || true
edit prices/bakery.txt <<END
bread 219
roll 40
END
run sh .optio/check
commit Give the price of bread in whole cents
cost 0.02 1900 150
"
        ),
    },
    Planned {
        title: "Explain the price list",
        shows: "review requests changes",
        priority: 20,
        after: None,
        ends_as: StateName::Completed,
        script: "
[first]
say Writing the page.
edit docs/prices.md <<END
Each line of a file in prices/ is a name and a price.
END
commit Explain the price list
cost 0.05 4800 350
[resume-review]
think The reviewer misses the unit.
edit docs/prices.md <<END
Each line of a file in prices/ is a name and a price in cents.
END
commit Say that prices are in cents
cost 0.02 1700 120
[review]
say Reading the page as a newcomer would.
cost 0.01 1100 90
comment docs/prices.md:1 A price in what? Dollars, cents?
verdict request_changes The unit is missing.
when grep -q cents docs/prices.md
verdict approve Now it is clear.
",
    },
    Planned {
        title: "Take card payments",
        shows: "fails for good",
        priority: 30,
        after: None,
        ends_as: StateName::Failed,
        script: "
say Connecting to the model.
error authentication_failed Invalid API key
",
    },
    Planned {
        title: "Sell oranges",
        shows: "rate limit, same session goes on",
        priority: 30,
        after: None,
        ends_as: StateName::Completed,
        script: with_approval!(
            "
[first]
say Let me see the prices.
cost 0.01 800 40
rate-limit 3
[first 2]
say Where was I? The oranges.
append prices/fruit.txt <<END
orange 95
END
commit Sell oranges
cost 0.03 2500 160
"
        ),
    },
    Planned {
        title: "Announce the cheaper bread",
        shows: "waits for another task",
        priority: 40,
        after: Some(2),
        ends_as: StateName::Completed,
        script: with_approval!(
            "
[first]
run grep -q 'bread 219' prices/bakery.txt
edit docs/news.md <<END
Bread is cheaper this summer.
END
commit Announce the cheaper bread
cost 0.02 1500 100
"
        ),
    },
    Planned {
        title: "Explain the checks",
        shows: "straight through",
        priority: 40,
        after: None,
        ends_as: StateName::Completed,
        script: with_approval!(
            "
[first]
say Reading .optio/check.
edit docs/checks.md <<END
`sh .optio/check` holds every line of prices/ to its form.
END
commit Explain the checks
cost 0.02 1400 110
"
        ),
    },
];

#[cfg(test)]
mod tests {
    use optio_agents::scripted::Script;

    use super::*;

    #[test]
    fn every_script_can_be_read_and_every_dependency_stands_earlier() {
        for (index, planned) in PLAN.iter().enumerate() {
            Script::parse(planned.script)
                .unwrap_or_else(|error| panic!("{}: {error}", planned.title));
            assert!(
                planned.after.is_none_or(|earlier| earlier < index),
                "{}",
                planned.title
            );
        }
    }
}
