//! Work shared out among connections: one thread and one connection each, taking the next piece when free.
//!
//! The first failure stops the others at once (their statements are cancelled on the server) and is the one reported.

use crate::{Error, Result, wire::Connection};
use pgkeep_model::CancelToken;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

/// Runs `work` on every item, at most `jobs` at a time, starting them in the order given. `open` makes each worker's
/// connection, which the token it is given must stop. With nothing to do no connection is opened.
pub(crate) fn share_out<T: Send>(
    jobs: usize,
    items: Vec<T>,
    cancel: &CancelToken,
    open: impl Fn(&CancelToken) -> Result<Connection> + Sync,
    work: impl Fn(&mut Connection, T) -> Result<()> + Sync,
) -> Result<()> {
    let threads = jobs.clamp(1, items.len().max(1));
    share_out_growing(threads, items, cancel, open, |connection, item| {
        work(connection, item).map(|()| Vec::new())
    })
}

/// The same for work that begets work: what `work` returns goes to the front of the queue, in its order, so that what was
/// begun is finished before more is begun.
pub(crate) fn share_out_growing<T: Send>(
    jobs: usize,
    items: Vec<T>,
    cancel: &CancelToken,
    open: impl Fn(&CancelToken) -> Result<Connection> + Sync,
    work: impl Fn(&mut Connection, T) -> Result<Vec<T>> + Sync,
) -> Result<()> {
    if items.is_empty() {
        return cancel.check().map_err(Error::from);
    }
    let queue = Queue {
        state: Mutex::new(State {
            waiting: VecDeque::from(items),
            at_work: 0,
            failure: None,
        }),
        changed: Condvar::new(),
    };
    let stop = CancelToken::new();
    let _outer = cancel.on_cancel({
        let stop = stop.clone();
        move || stop.cancel()
    });
    let run = || -> Result<()> {
        stop.check()?;
        let mut connection = open(&stop)?;
        while let Some(item) = queue.take() {
            let done = stop
                .check()
                .map_err(Error::from)
                .and_then(|()| work(&mut connection, item));
            queue.put_back(done)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                if let Err(error) = run() {
                    queue.fail(error);
                    stop.cancel();
                }
            });
        }
    });
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let state = queue
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    state.failure.map_or(Ok(()), Err)
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Items that are being worked on, and may beget more.
    at_work: usize,
    failure: Option<Error>,
}

struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Queue<T> {
    /// The next item; waits while there is none but may be one later. `None` when all is done, or something failed.
    fn take(&self) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(item) = state.waiting.pop_front() {
                state.at_work += 1;
                return Some(item);
            }
            if state.at_work == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An item is done; what it begot goes to the front.
    fn put_back(&self, done: Result<Vec<T>>) -> Result<()> {
        let mut state = lock(&self.state);
        state.at_work -= 1;
        self.changed.notify_all();
        for item in done?.into_iter().rev() {
            state.waiting.push_front(item);
        }
        Ok(())
    }

    /// Keeps the first failure, which is the cause of those that follow.
    fn fail(&self, error: Error) {
        lock(&self.state).failure.get_or_insert(error);
        self.changed.notify_all();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
