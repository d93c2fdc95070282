//! Work shared out among connections: one thread and one connection each, taking the next piece when free.
//!
//! The first failure stops the others at once (their statements are cancelled on the server) and is the one reported.

use crate::{Error, Result, wire::Connection};
use pgkeep_model::CancelToken;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
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
    if items.is_empty() {
        return cancel.check().map_err(Error::from);
    }
    let queue = Mutex::new(VecDeque::from(items));
    let failure = Mutex::new(None);
    let stop = CancelToken::new();
    let _outer = cancel.on_cancel({
        let stop = stop.clone();
        move || stop.cancel()
    });
    let run = || -> Result<()> {
        stop.check()?;
        let mut connection = open(&stop)?;
        loop {
            stop.check()?;
            let Some(item) = lock(&queue).pop_front() else {
                return Ok(());
            };
            work(&mut connection, item)?;
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                if let Err(error) = run() {
                    lock(&failure).get_or_insert(error);
                    stop.cancel();
                }
            });
        }
    });
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
