//! What supervisors and workers are doing, and the words for it in files and JSON lines. Those for people, which are PM2's, are
//! in pm-stat's `show::state_words`.

words! {
    /// What a supervisor as a whole is doing.
    SupervisorState {
        /// Not every slot has been ready yet.
        Starting = "starting",
        /// The supervisor has workers that serve.
        Ready = "ready",
        /// The supervisor was told to stop.
        Stopping = "stopping",
        /// The supervisor restarts nothing any more.
        GaveUp = "gave up",
        /// Its workers ended by themselves, and none is to be started again; left behind at its end.
        Ended = "ended",
    }
}

words! {
    /// What a worker is doing.
    WorkerState {
        /// There is none, and none is wanted.
        Down = "down",
        /// There is none; the next one starts at `until_ms`.
        Backoff = "backoff",
        /// The worker runs, but is not known to be ready.
        Starting = "starting",
        /// The worker serves.
        Ready = "ready",
        /// The worker takes nothing new, and finishes what it has.
        Draining = "draining",
        /// The worker is being killed.
        Killing = "killing",
        /// The slot's worker failed too often; no other is started.
        Failed = "failed",
    }
}
