//! Sharing the work out among connections that all read the same snapshot.
//!
//! Workers lock a table again, without waiting, before they read it. When that fails, someone has begun to wait for the
//! table exclusively behind the dump's own lock, and a worker that waited too would wait for ever. Such a piece goes back
//! to the exporting session, which holds the lock already and needs no new one: so a waiting `ALTER TABLE` costs some
//! speed, never the backup.

use super::{
    DumpSink,
    locks::lock_statement,
    plan::{Plan, Work},
    read::{self, Stored},
    session,
};
use crate::{Error, Result, connect::ConnectOptions, wire::Connection};
use pgkeep_model::{CancelToken, Progress, evidence::LargeObjectEvidence};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What all connections need to know.
pub(super) struct Task<'a> {
    pub plan: &'a Plan,
    pub sink: &'a dyn DumpSink,
    pub progress: &'a dyn Progress,
    pub options: &'a ConnectOptions,
    pub snapshot: &'a str,
    pub encoding: &'a str,
    pub jobs: usize,
}

/// What came of each member: its ranges' segments (`None` for empty ones), and a large object's evidence.
#[derive(Debug, Default)]
pub(super) struct MemberResult {
    pub parts: Vec<Option<Stored>>,
    pub large_object: Option<LargeObjectEvidence>,
}

struct State {
    waiting: VecDeque<usize>,
    /// For the exporting session alone.
    handed_back: VecDeque<usize>,
    workers: usize,
    results: Vec<MemberResult>,
    /// Pieces of each member that are still to be read.
    open_parts: Vec<usize>,
    failure: Option<Error>,
}

struct Shared<'a> {
    task: &'a Task<'a>,
    state: Mutex<State>,
    changed: Condvar,
    stop: CancelToken,
}

/// Reads everything; the calling thread works too, on the exporting session.
pub(super) fn run(
    task: &Task<'_>,
    exporter: &mut Connection,
    cancel: &CancelToken,
) -> Result<Vec<MemberResult>> {
    let stop = CancelToken::new();
    let _outer = cancel.on_cancel({
        let stop = stop.clone();
        move || stop.cancel()
    });
    exporter.cancel_with(&stop);
    let helpers = task.jobs.max(1).min(task.plan.work.len().max(1)) - 1;
    let shared = Shared {
        task,
        state: Mutex::new(State {
            waiting: (0..task.plan.work.len()).collect(),
            handed_back: VecDeque::new(),
            workers: helpers,
            results: task
                .plan
                .members
                .iter()
                .map(|m| MemberResult {
                    parts: m.ranges.iter().map(|_| None).collect(),
                    large_object: None,
                })
                .collect(),
            open_parts: task.plan.members.iter().map(|m| m.ranges.len()).collect(),
            failure: None,
        }),
        changed: Condvar::new(),
        stop,
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|| {
                let result = shared.work_as_helper();
                shared.leave(result);
            });
        }
        if let Err(error) = shared.work_as_exporter(exporter) {
            shared.fail(error);
        }
    });
    exporter.cancel_with(cancel);
    cancel.check()?;
    let state = shared
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(error) => Err(error),
        None => Ok(state.results),
    }
}

impl Shared<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first failure, which is the cause of those that follow, and stops everyone.
    fn fail(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        self.stop.cancel();
        self.changed.notify_all();
    }

    fn leave(&self, result: Result<()>) {
        self.state().workers -= 1;
        match result {
            Ok(()) => self.changed.notify_all(),
            Err(error) => self.fail(error),
        }
    }

    fn work_as_helper(&self) -> Result<()> {
        let task = self.task;
        let mut connection = session::open_in_snapshot(task.options, task.snapshot, &self.stop)?;
        let mut locked = HashSet::new();
        loop {
            self.stop.check()?;
            let Some(index) = self.state().waiting.pop_front() else {
                return Ok(());
            };
            if let Work::Rows { member, .. } = task.plan.work[index]
                && !locked.contains(&member)
            {
                if !self.lock_without_waiting(&mut connection, member)? {
                    self.state().handed_back.push_back(index);
                    self.changed.notify_all();
                    continue;
                }
                locked.insert(member);
            }
            self.read(&mut connection, index)?;
        }
    }

    fn work_as_exporter(&self, connection: &mut Connection) -> Result<()> {
        loop {
            self.stop.check()?;
            match self.next_for_exporter() {
                Some(index) => self.read(connection, index)?,
                None => return Ok(()),
            }
        }
    }

    /// Pieces handed back come first; with nothing to do it waits until no helper can hand one back any more.
    fn next_for_exporter(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.failure.is_some() {
                return None;
            }
            let next = state.handed_back.pop_front();
            if let Some(index) = next.or_else(|| state.waiting.pop_front()) {
                return Some(index);
            }
            if state.workers == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// False when someone else waits for the table; the transaction stays good.
    fn lock_without_waiting(&self, connection: &mut Connection, member: usize) -> Result<bool> {
        let relation = self.task.plan.members[member].relation.as_ref();
        let name = &relation.expect("only tables have rows").name;
        let lock = lock_statement(std::iter::once(name), true);
        match connection.execute(&format!(
            "SAVEPOINT own_lock; {lock}; RELEASE SAVEPOINT own_lock"
        )) {
            Ok(_) => Ok(true),
            Err(error) if error.sqlstate() == Some("55P03") => {
                connection.execute("ROLLBACK TO SAVEPOINT own_lock; RELEASE SAVEPOINT own_lock")?;
                self.task.progress.warn(&format!(
                    "another session waits to lock table {name} exclusively; it will get it when the backup ends"
                ));
                Ok(false)
            }
            Err(error) => Err(error.doing(format!("locking table {name} for reading"))),
        }
    }

    fn read(&self, connection: &mut Connection, index: usize) -> Result<()> {
        let Task {
            plan,
            sink,
            progress,
            encoding,
            ..
        } = *self.task;
        match &plan.work[index] {
            Work::Rows { member, range } => {
                let planned = &plan.members[*member];
                let relation = planned.relation.as_ref().expect("only tables have rows");
                let part = read::rows(
                    connection,
                    relation,
                    planned.ranges[*range],
                    encoding,
                    sink,
                    progress,
                )?;
                let mut state = self.state();
                state.results[*member].parts[*range] = part;
                state.open_parts[*member] -= 1;
                if state.open_parts[*member] == 0 {
                    drop(state);
                    progress.item(&relation.name.to_string());
                }
            }
            Work::LargeObjects { first, oids } => {
                let objects = read::large_objects(connection, oids, sink, progress)?;
                let mut state = self.state();
                for (offset, (part, evidence)) in objects.into_iter().enumerate() {
                    state.results[first + offset] = MemberResult {
                        parts: vec![part],
                        large_object: Some(evidence),
                    };
                }
            }
        }
        Ok(())
    }
}
