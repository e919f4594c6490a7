//! The table of what failures look like: one row per text, most telling row first.
//!
//! Rows are tried line by line; of all rows that match anywhere in a text, the one that stands first here wins. So a
//! cause ("permission denied (publickey)") stands above its consequence ("could not read from remote repository").
//! A row reads only the sources it names. None of them holds what a model or a tool of the agent wrote.

use crate::failure::FailureClass::{self, *};
use regex::RegexSet;
use std::sync::LazyLock;

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The message of the agent's structured error.
    Reported,
    /// What the agent's program wrote to its standard error.
    Agent,
    /// What git wrote to its standard error.
    Git,
    /// What the runtime says of the workspace: the cluster's reason and message.
    Workspace,
    /// An error inside the engine or one of its backends.
    Engine,
}

struct Rule {
    class: FailureClass,
    reads: &'static [Source],
    pattern: &'static str,
}

const ANY: &[Source] = &[
    Source::Reported,
    Source::Agent,
    Source::Git,
    Source::Workspace,
    Source::Engine,
];
const MODEL: &[Source] = &[Source::Reported, Source::Agent];
const STDERR: &[Source] = &[Source::Agent];
const GIT: &[Source] = &[Source::Git];
const POD: &[Source] = &[Source::Workspace];
const START: &[Source] = &[Source::Agent, Source::Workspace, Source::Engine];
const MACHINE: &[Source] = &[
    Source::Agent,
    Source::Git,
    Source::Workspace,
    Source::Engine,
];

/// A row reads: this class, in these sources, if a line matches this pattern (case does not matter).
macro_rules! rules {
    ($($class:ident in $reads:ident: $pattern:literal,)+) => {
        const RULES: &[Rule] = &[$(Rule { class: $class, reads: $reads, pattern: $pattern }),+];
    };
}

/// The class of the most telling line of `text`, and that line.
pub(super) fn read(source: Source, text: &str) -> Option<(FailureClass, &str)> {
    let mut best: Option<(usize, &str)> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let found = PATTERNS
            .matches(line)
            .iter()
            .find(|&row| RULES[row].reads.contains(&source));
        if let Some(row) = found
            && best.is_none_or(|(known, _)| row < known)
        {
            best = Some((row, line));
        }
    }
    best.map(|(row, line)| (RULES[row].class, line))
}

/// The class behind the name that an agent or a provider gives its error, if the name alone tells.
pub(super) fn kind(name: &str) -> Option<FailureClass> {
    let known = KINDS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|&(_, class)| class).or_else(|| {
        use crate::failure::FailureCategory::{Auth, Capacity, Model, Network};
        let class: FailureClass = name.to_ascii_lowercase().parse().ok()?;
        matches!(class.category(), Auth | Capacity | Model | Network).then_some(class)
    })
}

/// The class behind the status of a model provider's answer, if the status alone tells.
pub(super) fn http_status(status: u16) -> Option<FailureClass> {
    Some(match status {
        401 => AuthExpired,
        402 => QuotaExhausted,
        403 => AuthForbidden,
        404 => ModelNotFound,
        408 => Network,
        413 => ContextLength,
        429 => RateLimited,
        500..=599 => Overloaded,
        _ => return None,
    })
}

#[expect(
    clippy::expect_used,
    reason = "the patterns are constants, and every test of this module compiles them"
)]
static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(RULES.iter().map(|rule| format!("(?i){}", rule.pattern)))
        .expect("every pattern is a regex")
});

/// Names of errors: Claude Code's `error`, `subtype` and `terminal_reason`, codes of the OpenAI, Anthropic and Google
/// interfaces, classes of Gemini CLI, opencode and Copilot CLI.
const KINDS: &[(&str, FailureClass)] = &[
    ("authentication_failed", AuthExpired),
    ("authentication_error", AuthExpired),
    ("authentication", AuthExpired),
    ("invalid_api_key", AuthExpired),
    ("unauthenticated", AuthExpired),
    ("cloud_credential_error", AuthExpired),
    ("ProviderAuthError", AuthExpired),
    ("FatalAuthenticationError", AuthExpired),
    ("oauth_org_not_allowed", AccountBlocked),
    ("account_on_hold", AccountBlocked),
    ("verification_required", AccountBlocked),
    ("permission_error", AuthForbidden),
    ("permission_denied", AuthForbidden), // of a provider; of a file it is no agent's error
    ("billing_error", QuotaExhausted),
    ("insufficient_quota", QuotaExhausted),
    ("billing_not_active", QuotaExhausted),
    ("quota", QuotaExhausted),
    ("rate_limit", RateLimited),
    ("rate_limit_error", RateLimited),
    ("rate_limit_exceeded", RateLimited),
    ("usage_limit_reached", RateLimited),
    ("blocking_limit", RateLimited),
    ("resource_exhausted", RateLimited),
    ("overloaded_error", Overloaded),
    ("server_error", Overloaded),
    ("server_is_overloaded", Overloaded),
    ("unavailable", Overloaded),
    ("internal", Overloaded),
    ("not_found_error", ModelNotFound),
    ("prompt_too_long", ContextLength),
    ("request_too_large", ContextLength),
    ("context_length_exceeded", ContextLength),
    ("ContextOverflowError", ContextLength),
    ("refusal", ContentFilter),
    ("content_policy_violation", ContentFilter),
    ("max_output_tokens", OutputLimit),
    ("MessageOutputLengthError", OutputLimit),
    ("connection_failed", Network),
    ("max_turns", MaxTurns),
    ("error_max_turns", MaxTurns),
    ("FatalTurnLimitedError", MaxTurns),
    ("budget_reached", BudgetReached),
    ("budget_exhausted", BudgetReached),
    ("error_max_budget_usd", BudgetReached),
    ("session_not_found", SessionNotFound),
    ("aborted_streaming", Interrupted),
    ("aborted_tools", Interrupted),
    ("MessageAbortedError", Interrupted),
    ("interrupted", Interrupted),
    ("timed_out", TimedOut),
    ("deadline_exceeded", TimedOut),
    ("stalled", Stalled),
    ("invalid_configuration", InvalidConfiguration),
    ("bypass_root", InvalidConfiguration),
    ("FatalConfigError", InvalidConfiguration),
    ("FatalUntrustedWorkspaceError", InvalidConfiguration),
];

rules! {
    // The cluster's own reasons. The kubelet words them; see "pod conditions" and "container states" there.
    PodOom in POD: r"\bOOMKill(ed|ing)\b|out of memory: killed process|memory cgroup out of memory",
    PodEvicted in POD: r"\bEvicted\b|low on resource|EvictionByEvictionAPI|PreemptionByScheduler|DeletionByTaintManager",
    PodEvicted in POD: r"TerminationByKubelet|imminent node shutdown|\bNodeShutdown\b|\bPreempt(ed|ing)\b",
    ImagePull in POD: r"ImagePullBackOff|ErrImagePull|ErrImageNeverPull|ImageInspectError|RegistryUnavailable",
    ImagePull in POD: r"failed to pull (and unpack )?image|pull access denied|manifest unknown",
    InvalidConfiguration in POD: r"CreateContainerConfigError|InvalidImageName|\b(secret|configmap|serviceaccount)s? \S+ not found",
    InvalidConfiguration in POD: r"violates PodSecurity|is forbidden: user|admission webhook .* denied",
    PodCrashLoop in POD: r"CrashLoopBackOff|back-off .*restarting failed container|RunContainerError|CreateContainerError|PostStartHookError",
    PodPending in POD: r"\bUnschedulable\b|FailedScheduling|\d+/\d+ nodes are available|unbound immediate PersistentVolumeClaims",
    PodPending in POD: r"FailedMount|FailedAttachVolume|exceeded quota|\bOutOf(cpu|memory|pods)\b|UnexpectedAdmissionError|\bPodPending\b",
    TimedOut in POD: r"\bDeadlineExceeded\b",
    WorkspaceLost in POD: r"\bNodeLost\b|NodeNotReady|ContainerStatusUnknown|\bpods? \S+ not found|no such container|container not found",
    WorkspaceLost in POD: r"\bworkspace\b.*\b(does not exist|is gone|was removed)",
    // The machine.
    DiskFull in MACHINE: r"no space left on device|\bENOSPC\b|disk quota exceeded|\bEDQUOT\b|(database or )?disk is full",
    PodOom in MACHINE: r"heap out of memory|cannot allocate memory|\bENOMEM\b|memory allocation of \d+ bytes failed|^fatal: out of memory",
    // The agent's program.
    AgentNotInstalled in START: r"executable file not found in \$PATH|^(error: )?spawn \S+ ENOENT\b|exec format error|cannot execute binary file",
    AgentNotInstalled in START: r"^(/\S+/)?((ba|da|z)?sh|env): (line )?\d*:? ?\S+: (command )?(not found|no such file or directory)$",
    AgentNotInstalled in STDERR: r"GLIBC_\S+' not found|error while loading shared libraries|^error: cannot find module .*(bin|cli)",
    InvalidConfiguration in STDERR: r"cannot be used with root/sudo|not inside a trusted directory|not running in a trusted directory",
    InvalidConfiguration in STDERR: r"^error: (invalid command format|unknown option|unexpected argument|unrecognized arguments|invalid value|option '.*argument .* is invalid)",
    InvalidConfiguration in STDERR: r"^(unknown arguments?:|cannot use both|error loading config|error in \S+settings\.json|.*error: unrecognized arguments)",
    InvalidConfiguration in STDERR: r"requires --verbose|error parsing streaming input|input must be provided|no prompt provided|you must provide a message|invalid MCP config",
    InvalidConfiguration in STDERR: r"settings file not found|config file at .* is not valid|required MCP servers failed|model provider .* not found",
    InvalidConfiguration in STDERR: r"session ID .* (is already in use|already exists)|invalid session ID\b",
    SessionNotFound in MODEL: r"no conversation found with session|no rollout found|session not found|no saved session found",
    SessionNotFound in MODEL: r"invalid session identifier|no session, task, or name matched|requires a valid session ID",
    MaxTurns in MODEL: r"reached max(imum number of)? turns|max(imum)? session turns|turn limit (reached|exceeded)",
    BudgetReached in MODEL: r"reached maximum budget",
    // The model's provider. "API Error: 401" and the like come last: the words beside the number tell more.
    AuthMissing in MODEL: r"not logged in|please run /login|missing environment variable: `?\w*(key|token)|no authentication information found",
    AuthMissing in MODEL: r"must specify the \w+ environment variable|please set an auth method|you didn.t provide an API key",
    AuthMissing in MODEL: r"\bAPI[_ ]key (is )?(required|missing|not (set|found|provided))|no API key (was )?(found|provided|set)",
    AccountBlocked in MODEL: r"organization has been disabled|account (is|has been) (on hold|suspended|disabled)|account verification (is )?required",
    AccountBlocked in MODEL: r"OAuth \w+ is (currently )?not allowed for this organization",
    AuthForbidden in MODEL: r"API key does not have permission|organization must be verified|not available in your (country|region)",
    AuthExpired in MODEL: r"(invalid|incorrect) (x-)?api[- ]key|API key not valid|(OAuth|access|refresh) token (has |is |was )?(already )?(expired|revoked|invalid|used)",
    QuotaExhausted in MODEL: r"credit balance is too low|insufficient_quota|quota exceeded\. check your plan|exceeded your current quota",
    QuotaExhausted in MODEL: r"billing (hard )?limit|payment required|billing_not_active|spend(ing)? limit (has been )?(reached|exceeded)|out of credits",
    RateLimited in MODEL: r"rate.?limit (was |is )?(reached|exceeded)|exceed your (organization.s|account.s) rate limit|too many requests",
    RateLimited in MODEL: r"hit your .*limit|usage limit reached|exhausted your (daily quota|capacity)|resource has been exhausted|RESOURCE_EXHAUSTED|request rejected \(429\)",
    ContextLength in MODEL: r"prompt is too long|maximum context length|ran out of room in the model's context|context_length_exceeded",
    ContextLength in MODEL: r"input token count .* exceeds|exceeds? (the |this )?(model.s )?(maximum )?context (window|length)|input is too long for",
    OutputLimit in MODEL: r"exceeded the \d+ output token maximum|incomplete response returned, reason: max_output_tokens",
    ContentFilter in MODEL: r"can't help with this\. start a new session|(violates?|violate our|against our) usage polic|stopped by a safety classifier",
    ContentFilter in MODEL: r"\bcontent[_ ](filter(ed)?|management policy)\b|blocked by .*(safety|content)|incomplete response returned, reason: content_filter",
    ModelNotFound in MODEL: r"\bmodel_not_found\b|unrecognized_model|\bmodel\b.{0,80}(does not exist|not found|is not supported|no longer available)",
    ModelNotFound in MODEL: r"issue with the selected model|unknown model\b|invalid model name|\bmodels/\S+ is not found",
    Overloaded in MODEL: r"\boverloaded\b|\bat capacity\b|currently experiencing high demand|internal server error|\b50[234] (bad gateway|service unavailable|gateway timeout)",
    AuthExpired in MODEL: r"\b401 unauthorized|\b(API error:|\(HTTP|status( code)?:?|HTTP) 401\b",
    AuthForbidden in MODEL: r"\b403 forbidden|\b(API error:|\(HTTP|status( code)?:?|HTTP) 403\b",
    RateLimited in MODEL: r"\b(API error:|\(HTTP|status( code)?:?|HTTP) 429\b",
    Overloaded in MODEL: r"\b(API error:|\(HTTP|status( code)?:?|HTTP) 5\d\d\b",
    // Git and its server. What only a push can meet is turned into that in `at_step`.
    GitPushAuth in GIT: r"refusing to allow (a|an) .* to create or update workflow",
    GitPushForbidden in GIT: r"protected branch|repository rule violations|hook declined|exceeds GitHub's file size limit|not allowed to push code",
    GitPushForbidden in GIT: r"\bGH0(01|06|09|13)\b|denying (non-fast-forward|update|creation)|push declined due to",
    InvalidConfiguration in GIT: r"host key verification failed|^fatal: bad config|^git: '.*' is not a git command",
    GitAuth in GIT: r"authentication failed for|invalid username or (password|token)|could not read (username|password) for|terminal prompts disabled",
    GitAuth in GIT: r"permission denied \(.*(publickey|password|keyboard)|permission to \S+ denied to|write access to repository not granted",
    GitAuth in GIT: r"requested URL returned error: 40[13]|HTTP Basic: Access denied|deploy key .*(read.only|not allowed)|SAML SSO",
    RepositoryNotFound in GIT: r"repository not found|^fatal: repository .* (not found|does not exist)|does not appear to be a git repository",
    RepositoryNotFound in GIT: r"requested URL returned error: 404|project you were looking for could not be found",
    BranchNotFound in GIT: r"remote branch .* not found|couldn't find remote ref|invalid reference: |not a valid object name|unknown revision or path",
    MergeConflict in GIT: r"^CONFLICT \(|automatic merge failed|^error: could not apply|unmerged files|fix conflicts and then|resolve all conflicts",
    GitPushRejected in GIT: r"!\s+\[(remote )?rejected\]|updates were rejected because|non-fast-forward|\(stale info\)",
    // The network, whoever used it.
    Dns in ANY: r"could not resolve host|name resolution|\bEAI_AGAIN\b|\bENOTFOUND\b|name or service not known|nodename nor servname",
    Dns in ANY: r"failed to lookup address|no such host|\bdns error\b",
    Network in ANY: r"TLS handshake timeout",
    Tls in ANY: r"SSL certificate problem|certificate (verification failed|verify failed|has expired|is not trusted)|self[- ]signed certificate",
    Tls in ANY: r"local issuer certificate|UNABLE_TO_VERIFY_LEAF|CERT_HAS_EXPIRED|\bx509: |invalid peer certificate|handshake\(\) failed|unknown ?issuer",
    Network in ANY: r"connection (refused|reset|timed out|failed|closed|error|aborted)|\bE(CONNREFUSED|CONNRESET|TIMEDOUT|HOSTUNREACH|NETUNREACH|PIPE)\b",
    Network in ANY: r"failed to connect to \S+ port \d|(could ?n[o']t|cannot|unable to) connect\b|network is unreachable|no route to host|operation timed out|\bi/o timeout\b",
    Network in ANY: r"socket hang up|fetch failed|error sending request|stream disconnected before completion|upstream connect error|request timed out",
    Network in GIT: r"early EOF|RPC failed|sideband packet|remote end hung up|requested URL returned error: (429|5\d\d)|kex_exchange_identification",
    // A program that explains its arguments was not understood.
    InvalidConfiguration in STDERR: r"^(usage: \S+ (\[|<|-)|opencode run \[message)",
    // Files, where nothing above says which.
    PermissionDenied in MACHINE: r"\bE(ACCES|PERM|ROFS): |read-only file system|insufficient permission for adding|detected dubious ownership",
    PermissionDenied in MACHINE: r"(:|cannot .*) (permission denied|operation not permitted)( \(os error \d+\))?$",
}
