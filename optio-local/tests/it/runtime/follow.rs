//! Starting once, following from anywhere, and outliving whoever started it.

use super::*;

#[tokio::test]
async fn output_is_exact_from_any_offset_and_any_number_of_times() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world
            .spawn(sh(r"printf 'a\000b\377\nc'; printf 'err\351' >&2; exit 3"))
            .await;
        let whole = Read {
            stdout: b"a\0b\xff\nc".to_vec(),
            stderr: b"err\xe9".to_vec(),
            status: Some(ExitStatus::Code(3)),
        };
        assert_eq!(world.read_all(run).await, whole);
        for (stdout, stderr) in [(0, 0), (1, 4), (6, 0), (3, 2), (100, 100)] {
            let from = OutputOffset { stdout, stderr };
            let output = world
                .runtime
                .attach(world.workspace, run, from)
                .await
                .unwrap();
            let cut = |bytes: &[u8], at: u64| bytes.get(at as usize..).unwrap_or(&[]).to_vec();
            let rest = Read {
                stdout: cut(&whole.stdout, stdout),
                stderr: cut(&whole.stderr, stderr),
                status: whole.status,
            };
            assert_eq!(read_all(output).await, rest, "{from:?}");
        }
        assert_eq!(
            world.status(run).await,
            RunStatus::Ended(Some(ExitStatus::Code(3)))
        );
    }
}

#[tokio::test]
async fn the_end_is_told_as_it_was() {
    for mode in MODES {
        let world = World::new(mode).await;
        for (command, status) in [
            (Command::new("true"), ExitStatus::Code(0)),
            (sh("exit 42"), ExitStatus::Code(42)),
            (sh("kill -9 $$"), ExitStatus::Signal(9)),
            (sh("kill -15 $$"), ExitStatus::Signal(15)),
            (Command::new("no-such-program"), ExitStatus::Code(127)),
            // a builtin of shells, but no program
            (Command::new("exit").arg("5"), ExitStatus::Code(127)),
        ] {
            let name = command.program.clone();
            let run = world.spawn(command).await;
            let read = world.read_all(run).await;
            assert_eq!(read.status, Some(status), "{name}");
            // the shells that supervise add no remark of their own on how a command died
            let stderr = String::from_utf8(read.stderr).unwrap();
            assert_eq!(
                stderr.contains("not found"),
                status == ExitStatus::Code(127),
                "{stderr}"
            );
            assert_eq!(
                stderr.is_empty(),
                status != ExitStatus::Code(127),
                "{stderr}"
            );
        }
    }
}

#[tokio::test]
async fn a_follower_is_woken_by_what_is_written_later() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world
            .spawn(sh(
                "echo one; while ! [ -e go ]; do sleep 0.01; done; echo two; echo three",
            ))
            .await;
        let mut first = world.attach(run).await;
        let mut second = world.attach(run).await;
        for output in [&mut first, &mut second] {
            assert_eq!(next(output).await, Piece::Stdout("one\n".into()));
        }
        // a reading that is given up takes nothing away
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::from_millis(1), first.next()).await;
            assert!(waited.is_err());
        }
        assert!(matches!(world.status(run).await, RunStatus::Running { .. }));
        fs::write(world.path("go"), "").unwrap();
        for output in [first, second] {
            let read = read_all(output).await;
            assert_eq!(read.stdout, b"two\nthree\n");
            assert_eq!(read.status, Some(ExitStatus::SUCCESS));
        }
    }
}

#[tokio::test]
async fn much_output_comes_through_whole() {
    let world = World::new(Containment::Auto).await;
    let run = world
        .spawn(sh(
            "seq 1 400000; seq 1 400000 >&2; head -c 3000000 /dev/zero",
        ))
        .await;
    let read = world.read_all(run).await;
    let lines: String = (1..=400_000).map(|line| format!("{line}\n")).collect();
    assert!(read.stderr == lines.as_bytes());
    assert!(read.stdout[..lines.len()] == *lines.as_bytes());
    assert!(read.stdout[lines.len()..] == vec![0; 3_000_000]);
}

#[tokio::test]
async fn another_runtime_adopts_what_the_first_started() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world
            .spawn(sh(
                "echo before; while ! [ -e go ]; do sleep 0.01; done; echo after; exit 7",
            ))
            .await;
        let second = world.another().await;
        let go = world.path("go");
        let World {
            folder,
            runtime,
            workspace,
            ..
        } = world;
        drop(runtime);
        // asking for it again finds it
        second
            .spawn(workspace, run, sh("echo another"))
            .await
            .unwrap();
        let output = second
            .attach(workspace, run, OutputOffset::default())
            .await
            .unwrap();
        fs::write(go, "").unwrap();
        let read = read_all(output).await;
        assert_eq!(read.stdout, b"before\nafter\n");
        assert_eq!(read.status, Some(ExitStatus::Code(7)));
        drop(folder);
    }
}

const HELPER_FOLDER: &str = "OPTIO_TEST_FOLDER";
const HELPER_IDS: &str = "OPTIO_TEST_IDS";

/// The process that is killed in the test below: it starts a run and hangs. Nothing happens where that test did not start it.
#[tokio::test]
async fn helper_that_starts_a_run_and_hangs() {
    let (Some(folder), Some(ids)) = (
        std::env::var_os(HELPER_FOLDER),
        std::env::var_os(HELPER_IDS),
    ) else {
        return;
    };
    let ids = ids.into_string().unwrap();
    let (workspace, run) = ids.split_once(' ').unwrap();
    let runtime = open(Path::new(&folder), Containment::Auto).await;
    let script = "echo begun; while ! [ -e go ]; do sleep 0.01; done; echo finished";
    runtime
        .spawn(workspace.parse().unwrap(), run.parse().unwrap(), sh(script))
        .await
        .unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_run_goes_on_when_who_started_it_is_killed() {
    let world = World::new(Containment::Auto).await;
    let run = RunId::generate(&SystemClock);
    let mut helper = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "runtime::follow::helper_that_starts_a_run_and_hangs",
        ])
        .env(HELPER_FOLDER, world.folder.path())
        .env(HELPER_IDS, format!("{} {run}", world.workspace))
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdout = world.run_path(run, "stdout");
    until("the run has begun", || {
        fs::read(&stdout).is_ok_and(|text| text == b"begun\n")
    })
    .await;
    helper.kill().await.unwrap(); // SIGKILL, and waits
    assert!(matches!(world.status(run).await, RunStatus::Running { .. }));
    let output = world.attach(run).await;
    fs::write(world.path("go"), "").unwrap();
    let read = read_all(output).await;
    assert_eq!(read.stdout, b"begun\nfinished\n");
    assert_eq!(read.status, Some(ExitStatus::SUCCESS));
}

#[tokio::test]
async fn many_who_start_the_same_run_start_it_once() {
    for mode in MODES {
        let world = World::new(mode).await;
        let (first, second) = (
            Arc::new(world.another().await),
            Arc::new(world.another().await),
        );
        let run = RunId::generate(&SystemClock);
        let mut racers = tokio::task::JoinSet::new();
        for number in 0..10 {
            let runtime = Arc::clone(if number % 2 == 0 { &first } else { &second });
            let workspace = world.workspace;
            let command = sh("echo started >>count; echo once");
            racers.spawn(async move { runtime.spawn(workspace, run, command).await });
        }
        for result in racers.join_all().await {
            result.unwrap();
        }
        assert_eq!(world.read_all(run).await.stdout, b"once\n");
        world
            .runtime
            .spawn(world.workspace, run, sh("echo again"))
            .await
            .unwrap();
        assert_eq!(world.read_all(run).await.stdout, b"once\n");
        assert_eq!(
            fs::read_to_string(world.path("count")).unwrap(),
            "started\n"
        );
    }
}

#[tokio::test]
async fn a_start_that_was_cut_off_is_made_good() {
    let world = World::new(Containment::Auto).await;
    let run = RunId::generate(&SystemClock);
    // what is there when the first one died before it started the supervisor
    fs::create_dir(world.run_path(run, "")).unwrap();
    fs::write(world.run_path(run, "stdout"), "").unwrap();
    let refused = world
        .runtime
        .status(world.workspace, run)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    world
        .runtime
        .spawn(world.workspace, run, sh("echo now"))
        .await
        .unwrap();
    assert_eq!(world.read_all(run).await.stdout, b"now\n");
}

#[tokio::test]
async fn a_run_that_vanished_has_no_status() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world.spawn(sh("echo there; exec sleep 300")).await;
        let mut output = world.attach(run).await;
        assert_eq!(next(&mut output).await, Piece::Stdout("there\n".into()));
        // everything at once, as when the machine loses power
        let pids = processes_with(&format!("OPTIO_RUN={run}"));
        assert!(pids.len() >= 2, "{pids:?}");
        let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
        std::process::Command::new("kill")
            .arg("-9")
            .args(pids)
            .status()
            .unwrap();
        assert_eq!(next(&mut output).await, Piece::Ended(None));
        assert_eq!(world.status(run).await, RunStatus::Ended(None));
        world.kill(run, Duration::ZERO).await;
        let read = world.read_all(run).await;
        assert_eq!(
            (read.stdout.as_slice(), read.status),
            (&b"there\n"[..], None)
        );
    }
}

#[tokio::test]
async fn input_is_given_whole_and_never_left_open() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world.spawn(Command::new("cat")).await;
        assert_eq!(world.read_all(run).await.stdout, b"");
        let run = world
            .spawn(Command::new("cat").stdin(&b"in\0put\n\xff"[..]))
            .await;
        assert_eq!(world.read_all(run).await.stdout, b"in\0put\n\xff");
    }
}

#[tokio::test]
async fn arguments_and_variables_are_data() {
    for mode in MODES {
        let world = World::new(mode).await;
        let odd = [
            "",
            " ",
            "$(touch pwned)",
            "a'b\"c",
            "new\nline",
            "*",
            "-n",
            "é",
            "`id`",
        ];
        let run = world
            .spawn(
                Command::new("printf")
                    .arg("%s|")
                    .args(odd)
                    .env("ODD", "$(id)\n'\"é"),
            )
            .await;
        let text = String::from_utf8(world.read_all(run).await.stdout).unwrap();
        assert_eq!(text, odd.map(|arg| format!("{arg}|")).concat());
        let run = world
            .spawn(
                Command::new("printenv")
                    .arg("ODD")
                    .env("ODD", "$(id)\n'\"é"),
            )
            .await;
        assert_eq!(world.read_all(run).await.stdout, "$(id)\n'\"é\n".as_bytes());
        assert!(!world.path("pwned").exists());
    }
}

#[tokio::test]
async fn the_environment_is_made_from_nothing_and_secrets_stay_out_of_arguments() {
    for mode in MODES {
        let world = World::new(mode).await;
        let mut command = sh("env | cut -d= -f1 | sort; echo; printenv KEY HOME; exec sleep 300");
        command.secret_env = BTreeMap::from([("KEY".into(), Secret::new("hunter2-hunter2"))]);
        let run = world.spawn(command).await;
        let mut output = world.attach(run).await;
        let mut seen = String::new();
        while !seen.ends_with("/home\n") {
            if let Piece::Stdout(bytes) = next(&mut output).await {
                seen.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
        let (names, values) = seen.split_once("\n\n").unwrap();
        // shells set the last three by themselves
        let names: Vec<&str> = names
            .lines()
            .filter(|name| !matches!(*name, "PWD" | "SHLVL" | "_"))
            .collect();
        insta::allow_duplicates! {
            insta::assert_snapshot!(names.join(" "), @"HOME KEY LANG OPTIO_RUN OPTIO_WORKSPACE PATH TMPDIR");
        }
        let home = world.path("home");
        assert_eq!(values, format!("hunter2-hunter2\n{}\n", home.display()));
        assert_eq!(
            fs::metadata(home).unwrap().permissions().mode() & 0o777,
            0o700
        );
        for pid in processes_with(&format!("OPTIO_RUN={run}")) {
            // one that has ended since it was found has shown nothing
            let Ok(line) = fs::read_to_string(format!("/proc/{pid}/cmdline")) else {
                continue;
            };
            assert!(!line.contains("hunter2"), "{line}");
        }
        world.kill(run, Duration::ZERO).await;
    }
}
