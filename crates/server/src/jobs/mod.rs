//! What each kind of job does: from its specification to an engine call and a result.
