//! The process from its arguments to its exit code.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use optio_core::{clock::SystemClock, money::Usd, run::RunKind};
use thiserror::Error;

use super::{
    args::{Args, ArgsError, Call, USAGE},
    player::Player,
    script::{Script, ScriptError},
    session::{Session, SessionError},
    step::Step,
    stream::{StreamLine, StreamWriter},
    tools,
};

/// Where a repository keeps its script.
const SCRIPT_FILE: &str = ".optio/script";

const VERSION: &str = concat!("optio-scripted-agent ", env!("CARGO_PKG_VERSION"));

/// The exit code of a run that did not begin because of its arguments or its script.
pub(super) const REFUSED: u8 = 2;

/// Why a run does not begin.
#[derive(Debug, Error)]
enum Refusal {
    #[error(transparent)]
    Args(#[from] ArgsError),
    #[error("cannot read {what}: {source}")]
    Unreadable { what: String, source: io::Error },
    #[error(
        "there is no script; put one into the task between a line ```optio-script and a line ```, name a file with \
         --script, or write {SCRIPT_FILE}"
    )]
    NoScript,
    #[error("{place}, {error}")]
    Script { place: String, error: ScriptError },
    #[error("the script has no section for this run; add [{0}] or [any] to it")]
    NoSection(RunKind),
    #[error(
        "the script gives a verdict, but there is no file for it; give one with --verdict-file"
    )]
    NoVerdictFile,
    #[error("there is no place to remember the session; set HOME or OPTIO_SCRIPTED_HOME")]
    NoHome,
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Runs the scripted agent with these arguments (without the program's name) in this process: reads the prompt from
/// stdin, prints the stream to stdout, and gives the exit code: 0 for success, 1 for failure or what the script says,
/// 2 if the run did not begin because of its arguments or its script.
///
/// It may not return at all: a script can hang, and it can kill the process.
pub fn main_entry(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let call = match Call::parse(args) {
        Ok(Call::Run(args)) => run(args),
        Ok(Call::Help) => return tell(USAGE),
        Ok(Call::Version) => return tell(VERSION),
        Err(error) => Err(error.into()),
    };
    let code = match call {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            tools::complain(&format!(
                "optio-scripted-agent: cannot write the stream: {error}"
            ));
            1
        }
        Err(refusal) => {
            tools::complain(&format!("optio-scripted-agent: {refusal}"));
            if matches!(refusal, Refusal::Session(_)) {
                1
            } else {
                REFUSED
            }
        }
    };
    ExitCode::from(code)
}

fn tell(words: &str) -> ExitCode {
    let written = writeln!(io::stdout().lock(), "{words}");
    if written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The exit code of the run; an error in it is one of the stream.
fn run(args: Args) -> Result<io::Result<u8>, Refusal> {
    let folder =
        env::current_dir().map_err(|source| unreadable("the working directory", source))?;
    let script = script(&args, &folder)?;
    let home = home().ok_or(Refusal::NoHome)?;
    let mut out = StreamWriter::new(io::stdout().lock());
    let session = match Session::open(&home, args.session, args.kind) {
        Err(SessionError::Unknown(id)) => return Ok(no_such_session(&mut out, &id)),
        other => other?,
    };
    let steps = script
        .steps(args.kind, session.times(args.kind))
        .ok_or(Refusal::NoSection(args.kind))?;
    if args.verdict_file.is_none()
        && steps
            .iter()
            .any(|step| matches!(step, Step::Verdict { .. }))
    {
        return Err(Refusal::NoVerdictFile);
    }
    session.save(&home)?;
    let mut player = Player::new(out, &SystemClock, &session, folder);
    player.verdict_file = args.verdict_file;
    Ok(player.play(args.model, steps).map(|end| end.code))
}

/// The script from the prompt, from the task, from the file that was named, or from the working directory.
fn script(args: &Args, folder: &Path) -> Result<Script, Refusal> {
    let own = folder.join(SCRIPT_FILE);
    let (place, text) = if let Some(text) = Script::find(&prompt(args)?) {
        ("the script in the prompt".to_owned(), text)
    } else if let Some(text) = Script::find(&task(args)?) {
        ("the script in the task".to_owned(), text)
    } else if let Some(file) = &args.script {
        (file.display().to_string(), read(file)?)
    } else if own.exists() {
        (SCRIPT_FILE.to_owned(), read(&own)?)
    } else {
        return Err(Refusal::NoScript);
    };
    Script::parse(&text).map_err(|error| Refusal::Script { place, error })
}

/// The text of the task; none if it was not left in a file.
fn task(args: &Args) -> Result<String, Refusal> {
    match &args.task_file {
        Some(file) if file.exists() => read(file),
        _ => Ok(String::new()),
    }
}

fn prompt(args: &Args) -> Result<String, Refusal> {
    if let Some(file) = &args.prompt_file {
        return read(file);
    }
    let stdin = io::stdin();
    let mut bytes = Vec::new();
    if !stdin.is_terminal() {
        stdin
            .lock()
            .read_to_end(&mut bytes)
            .map_err(|source| unreadable("the prompt", source))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read(file: &Path) -> Result<String, Refusal> {
    let bytes = fs::read(file).map_err(|source| unreadable(&file.display().to_string(), source))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(what: &str, source: io::Error) -> Refusal {
    Refusal::Unreadable {
        what: what.to_owned(),
        source,
    }
}

/// The folder of the sessions. This is a process of its own, so it asks its own environment.
fn home() -> Option<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("OPTIO_SCRIPTED_HOME").or_else(|| set("HOME").map(|home| home.join(".optio-scripted")))
}

fn no_such_session(out: &mut StreamWriter<impl Write>, id: &str) -> io::Result<u8> {
    let message = SessionError::Unknown(id.to_owned()).to_string();
    tools::complain(&message);
    let (kind, http_status) = ("session_not_found".to_owned(), None);
    out.line(&StreamLine::Error {
        kind,
        http_status,
        message: message.clone(),
    })?;
    let (cost_usd, input_tokens, output_tokens, turns) = (Usd::ZERO, 0, 0, 0);
    let session_id = id.to_owned();
    let (is_error, summary) = (true, message);
    out.line(&StreamLine::Result {
        is_error,
        summary,
        session_id,
        cost_usd,
        input_tokens,
        output_tokens,
        turns,
    })?;
    Ok(1)
}
