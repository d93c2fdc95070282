//! Cooperative cancellation: one token for an operation, checked between pieces of work and wired to whatever must be
//! stopped from outside (a server-side query, a child process).

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

type Hook = Box<dyn Fn() + Send + Sync>;
type Permit = Box<dyn Fn() -> bool + Send + Sync>;

/// Asks an operation to stop. Clones share one state; cancelling is final.
#[derive(Clone, Default)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    next_hook: AtomicU64,
    hooks: Mutex<Vec<(u64, Hook)>>,
    permit: OnceLock<Permit>,
}

/// The operation was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl CancelToken {
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that also counts as cancelled from the first [`CancelToken::check`] at which `permit` says no: for work that
    /// may go on only as long as a lease holds, even where the process was stopped meanwhile. It must be cheap.
    pub fn while_permitted(permit: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let inner = Inner::default();
        // A new cell is empty.
        let _ = inner.permit.set(Box::new(permit));
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Marks the token and runs every registered hook once, in the calling thread.
    pub fn cancel(&self) {
        if self.inner.cancelled.swap(true, Ordering::SeqCst) {
            return;
        }
        let hooks = std::mem::take(&mut *self.hooks());
        for (_, hook) in hooks {
            hook();
        }
    }

    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Relaxed)
    }

    /// Returns an error once the token is cancelled; call it between pieces of work.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.inner.permit.get().is_some_and(|permit| !permit()) {
            self.cancel();
        }
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Runs `hook` when the token is cancelled, at once if it already is; dropping the guard forgets the hook.
    pub fn on_cancel(&self, hook: impl Fn() + Send + Sync + 'static) -> CancelHook {
        let id = self.inner.next_hook.fetch_add(1, Ordering::Relaxed);
        let mut hooks = self.hooks();
        if self.inner.cancelled.load(Ordering::SeqCst) {
            drop(hooks);
            hook();
        } else {
            hooks.push((id, Box::new(hook)));
        }
        CancelHook {
            token: self.clone(),
            id,
        }
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Hook)>> {
        self.inner
            .hooks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken")
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}

/// Keeps a cancel hook registered; dropping it removes the hook.
#[must_use = "dropping the guard removes the hook"]
#[derive(Debug)]
pub struct CancelHook {
    token: CancelToken,
    id: u64,
}

impl Drop for CancelHook {
    fn drop(&mut self) {
        self.token.hooks().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_permit_that_ends_cancels_at_the_next_check() {
        let permitted = Arc::new(AtomicBool::new(true));
        let token = CancelToken::while_permitted({
            let permitted = permitted.clone();
            move || permitted.load(Ordering::SeqCst)
        });
        assert_eq!(token.check(), Ok(()));
        permitted.store(false, Ordering::SeqCst);
        assert!(!token.is_cancelled());
        assert_eq!(token.check(), Err(Cancelled));
        permitted.store(true, Ordering::SeqCst);
        assert_eq!(token.check(), Err(Cancelled), "cancelling is final");
    }

    #[test]
    fn hooks_run_once_and_late_hooks_run_at_once() {
        let token = CancelToken::new();
        let ran = Arc::new(AtomicUsize::new(0));
        let count = |ran: &Arc<AtomicUsize>| {
            let ran = ran.clone();
            move || {
                ran.fetch_add(1, Ordering::SeqCst);
            }
        };
        let _early = token.on_cancel(count(&ran));
        drop(token.on_cancel(count(&ran)));
        token.cancel();
        token.cancel();
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        let _late = token.on_cancel(count(&ran));
        assert_eq!(ran.load(Ordering::SeqCst), 2);
        assert_eq!(token.check(), Err(Cancelled));
    }
}
