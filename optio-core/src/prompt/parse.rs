//! Text to [`Template`]: one pass over the braces into a flat list of steps.
//!
//! Conditions become jumps instead of a tree, so neither parsing, rendering nor dropping a template recurses, however
//! deep it nests.

use super::{
    error::{Position, TemplateError, shortened},
    kind::PromptKind,
    variable::Variable,
};

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// A template whose tags are well-formed. Whether its variables exist is asked by [`check`](Self::check).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) steps: Vec<Step>,
}

/// One step of rendering. Targets are indices of later steps, or one past the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Text(String),
    Value(Use),
    /// Goes on at `otherwise` if the variable is false.
    If {
        condition: Use,
        otherwise: usize,
    },
    /// The end of a first part: skips the second.
    Skip {
        to: usize,
    },
}

/// A variable where a template uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) name: String,
    pub(super) at: Position,
}

/// A condition that is not closed yet, by the indices of its steps.
struct Open {
    condition: usize,
    skip: Option<usize>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first tag that is malformed, unclosed or out of place. Unknown variables are none: they depend on the
    /// prompt, see [`check`](Self::check).
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parser = Parser::default();
        let mut literal = String::new();
        let mut rest = text;
        let mut position = Position::START;
        while let Some(start) = rest.find(OPEN) {
            let braces = rest[start..]
                .bytes()
                .take_while(|&byte| byte == b'{')
                .count();
            let (pairs, left) = (braces / 4, braces % 4);
            literal.push_str(&rest[..start]);
            literal.push_str(&OPEN.repeat(pairs));
            if left % 2 == 1 {
                literal.push('{');
            }
            let opens_tag = left >= 2;
            let tag = start + braces - if opens_tag { OPEN.len() } else { 0 };
            position = position.after(&rest[..tag]);
            rest = &rest[tag..];
            if opens_tag {
                if !literal.is_empty() {
                    parser.steps.push(Step::Text(std::mem::take(&mut literal)));
                }
                let inside = inside(rest).ok_or(TemplateError::UnclosedTag { at: position })?;
                parser.tag(inside.trim(), position)?;
                let tag = &rest[..OPEN.len() + inside.len() + CLOSE.len()];
                position = position.after(tag);
                rest = &rest[tag.len()..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parser.steps.push(Step::Text(literal));
        }
        parser.finish()
    }

    /// Whether a prompt of this kind has every variable that the template uses, in branches taken or not.
    ///
    /// # Errors
    /// The first that it does not have.
    pub fn check(&self, kind: PromptKind) -> Result<(), TemplateError> {
        self.uses()
            .try_for_each(|used| used.resolve(kind).map(drop))
    }

    /// The template that renders as `text`, whatever braces are in it. Templates may be put together from such pieces.
    #[must_use]
    pub fn escape(text: &str) -> String {
        text.replace(OPEN, "{{{{")
    }

    fn uses(&self) -> impl Iterator<Item = &Use> {
        self.steps.iter().filter_map(|step| match step {
            Step::Value(used)
            | Step::If {
                condition: used, ..
            } => Some(used),
            Step::Text(_) | Step::Skip { .. } => None,
        })
    }
}

impl Use {
    /// The variable that is meant.
    pub(super) fn resolve(&self, kind: PromptKind) -> Result<Variable, TemplateError> {
        match self.name.parse::<Variable>() {
            Ok(variable) if variable.kinds().contains(&kind) => Ok(variable),
            Ok(variable) => Err(TemplateError::OtherPrompt {
                at: self.at,
                variable,
                kind,
            }),
            Err(_) => Err(TemplateError::UnknownVariable {
                at: self.at,
                name: shortened(&self.name),
                kind,
                nearest: Variable::nearest(&self.name, kind.variables()),
            }),
        }
    }
}

#[derive(Default)]
struct Parser {
    steps: Vec<Step>,
    open: Vec<Open>,
}

impl Parser {
    fn tag(&mut self, tag: &str, at: Position) -> Result<(), TemplateError> {
        match tag.split_once([' ', '\t']).unwrap_or((tag, "")) {
            ("#if", name) => {
                let condition = named(name.trim_start(), at)?;
                self.open.push(Open {
                    condition: self.steps.len(),
                    skip: None,
                });
                // the end of the template, until an else or end says better
                self.steps.push(Step::If {
                    condition,
                    otherwise: usize::MAX,
                });
            }
            ("else", "") => {
                let here = self.steps.len();
                let open = self
                    .open
                    .last_mut()
                    .ok_or(TemplateError::ElseWithoutIf { at })?;
                if open.skip.is_some() {
                    let condition = position_of(&self.steps, open.condition).unwrap_or(at);
                    return Err(TemplateError::SecondElse { at, condition });
                }
                open.skip = Some(here);
                let condition = open.condition;
                self.steps.push(Step::Skip { to: usize::MAX });
                self.aim(condition);
            }
            ("/if", "") => {
                let open = self.open.pop().ok_or(TemplateError::EndWithoutIf { at })?;
                self.aim(open.skip.unwrap_or(open.condition));
            }
            (word, _) if word.starts_with(['#', '/']) || word == "else" => {
                return Err(TemplateError::UnknownTag {
                    at,
                    found: shortened(tag),
                });
            }
            _ => self.steps.push(Step::Value(named(tag, at)?)),
        }
        Ok(())
    }

    /// Lets the jump at `index` lead to the step that comes next.
    fn aim(&mut self, index: usize) {
        let here = self.steps.len();
        if let Some(
            Step::If {
                otherwise: target, ..
            }
            | Step::Skip { to: target },
        ) = self.steps.get_mut(index)
        {
            *target = here;
        }
    }

    fn finish(self) -> Result<Template, TemplateError> {
        match self
            .open
            .last()
            .and_then(|open| self.steps.get(open.condition))
        {
            Some(Step::If { condition, .. }) => Err(TemplateError::UnclosedIf {
                at: condition.at,
                name: shortened(&condition.name),
            }),
            _ => Ok(Template { steps: self.steps }),
        }
    }
}

/// What stands between the braces that `tag` begins with and the next closing ones, if they are of one tag.
fn inside(tag: &str) -> Option<&str> {
    let behind = &tag[OPEN.len()..];
    let inside = &behind[..behind.find(CLOSE)?];
    (!inside.contains('\n') && !inside.contains(OPEN)).then_some(inside)
}

fn named(name: &str, at: Position) -> Result<Use, TemplateError> {
    let well_formed = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if well_formed {
        return Ok(Use {
            name: name.to_owned(),
            at,
        });
    }
    let nearest = Variable::nearest(name, Variable::ALL.iter().copied());
    Err(TemplateError::NotAName {
        at,
        found: shortened(name),
        nearest,
    })
}

fn position_of(steps: &[Step], index: usize) -> Option<Position> {
    match steps.get(index)? {
        Step::If { condition, .. } => Some(condition.at),
        _ => None,
    }
}
