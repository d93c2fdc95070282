//! The catalog for threads that are not async: the command line, and the process of a job.

use crate::{Catalog, CatalogError, OpenOptions, Result};
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// A catalog with a small runtime of its own. Not to be used on a thread of another runtime.
#[derive(Debug, Clone)]
pub struct Blocking {
    catalog: Catalog,
    runtime: Arc<Runtime>,
}

impl Blocking {
    pub fn open(options: OpenOptions) -> Result<Blocking> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("catalog")
            .enable_all()
            .build()
            .map_err(|e| CatalogError::Database(format!("no thread can be started: {e}")))?;
        let catalog = runtime.block_on(Catalog::open(options))?;
        Ok(Blocking {
            catalog,
            runtime: Arc::new(runtime),
        })
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Runs one call to its end: `blocking.block_on(|catalog| async move { catalog.job(&id).await })`.
    pub fn block_on<F: Future>(&self, call: impl FnOnce(Catalog) -> F) -> F::Output {
        self.runtime.block_on(call(self.catalog.clone()))
    }
}
