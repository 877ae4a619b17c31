//! Threads for kernels: they claim whole tiles, so that which thread does which changes no bit of the result.
//!
//! A step of training launches some hundred kernels of 20 to 500 microseconds, so the hand-over must cost little: a worker that
//! has run out of work looks for more for some microseconds before it sleeps, the caller works too, and a worker that
//! wakes too late is not waited for. Each worker begins with a share of its own, the same part of every launch, so that it
//! reads what lies in its own cache from the launch before; then it takes from the others' shares what they have not begun.

use crate::plan::MOST_BESIDE;
use anyhow::{Context, Result, bail};
use std::any::Any;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread looks for work before it sleeps: about what waking one costs.
const SPIN: Duration = Duration::from_micros(40);

/// What the job of a number does with its tiles `begin..end` on the worker of a number: job, begin, end, worker.
pub type Work<'a> = &'a (dyn Fn(usize, usize, usize, usize) + Sync);

/// Threads that run kernels.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// The number of threads: what was asked for, else `WEFT_THREADS`, else what the system gives this process.
///
/// # Errors
/// When either is no number from 1 to 1024.
pub fn choose_threads(asked: Option<usize>) -> Result<usize> {
    let (threads, source) = match (asked, std::env::var("WEFT_THREADS")) {
        (Some(threads), _) => (threads, "--threads"),
        (None, Ok(text)) => {
            (text.trim().parse().with_context(|| format!("WEFT_THREADS is `{text}`, not a number"))?, "WEFT_THREADS")
        }
        (None, Err(_)) => (available().min(1024), "the system"),
    };
    if !(1..=1024).contains(&threads) {
        bail!("{source} asks for {threads} threads; 1 to 1024 are possible");
    }
    Ok(threads)
}

fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `state` is a word of three parts, so that entering a launch and its being open are one atomic step:
/// open or not (top bit), number of the launch (31 bits), workers inside (32 bits).
struct Shared {
    state: AtomicU64,
    /// Written only while the launch is closed and nobody is inside.
    job: UnsafeCell<Option<Job>>,
    /// Of each worker's share of each job, the next tile that nobody has claimed.
    next: Vec<Apart>,
    shutdown: AtomicBool,
    spin: bool,
    /// Workers asleep on `wake`, the caller asleep on `done`; both under `lock`.
    lock: Mutex<()>,
    sleepers: AtomicUsize,
    wake: Condvar,
    caller_waits: AtomicBool,
    done: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only part that is not `Sync` by itself. It is written by the caller of `run` (exclusive, by `&mut Pool`)
// while the launch is closed and no worker is inside, and read by workers only inside.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used only during `run`, which outlives every use (it waits until nobody is inside).
unsafe impl Send for Shared {}

/// Counters in cache lines of their own.
#[repr(align(128))]
#[derive(Default)]
struct Apart([AtomicUsize; MOST_BESIDE]);

#[derive(Clone, Copy)]
struct Job {
    /// The caller's closure, its lifetime forgotten.
    work: *const (dyn Fn(usize, usize, usize, usize) + Sync),
    /// Of each job.
    tiles: [usize; MOST_BESIDE],
    /// How many there are.
    jobs: usize,
}

/// The tiles that a worker begins with.
fn share(tiles: usize, worker: usize, workers: usize) -> (usize, usize) {
    (tiles * worker / workers, tiles * (worker + 1) / workers)
}

const OPEN: u64 = 1 << 63;
const ONE_LAUNCH: u64 = 1 << 32;

fn inside(state: u64) -> u64 {
    state & (ONE_LAUNCH - 1)
}

fn launch(state: u64) -> u64 {
    (state & !OPEN) >> 32
}

impl Pool {
    /// A pool of that many threads, the caller's included.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(threads: usize) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: (0..threads.max(1)).map(|_| Apart::default()).collect(),
            shutdown: AtomicBool::new(false),
            // Where threads outnumber processors a spinning one keeps a working one from its processor.
            spin: threads <= available(),
            lock: Mutex::new(()),
            sleepers: AtomicUsize::new(0),
            wake: Condvar::new(),
            caller_waits: AtomicBool::new(false),
            done: Condvar::new(),
            panic: Mutex::new(None),
        });
        let mut pool = Self { shared, workers: Vec::new() };
        for worker in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("weft-{worker}"));
            let handle = thread.spawn(move || shared.serve(worker)).context("the system refuses a thread")?;
            pool.workers.push(handle);
        }
        Ok(pool)
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Does `tiles` tiles by calls `work(begin, end, worker)`, `worker < threads()`; returns when all are done.
    ///
    /// # Panics
    /// When `work` panics, on whichever thread: with the first payload, once nobody works any more.
    pub fn run(&mut self, tiles: usize, work: &(dyn Fn(usize, usize, usize) + Sync)) {
        self.run_jobs(&[tiles], &|_, begin, end, worker| work(begin, end, worker));
    }

    /// Does several jobs, at most [`MOST_BESIDE`], of so many tiles each, beside one another: who has no tile left of one begins
    /// with the next. Otherwise as [`Pool::run`].
    ///
    /// # Panics
    /// As [`Pool::run`].
    pub fn run_jobs(&mut self, jobs: &[usize], work: Work<'_>) {
        if self.workers.is_empty() || jobs.iter().sum::<usize>() <= 1 {
            for (job, &tiles) in jobs.iter().enumerate().filter(|(_, tiles)| **tiles > 0) {
                work(job, 0, tiles, 0);
            }
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; `run` returns only when no worker can reach the pointer any more.
        let work: *const (dyn Fn(usize, usize, usize, usize) + Sync) =
            unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
        let mut job = Job { work, tiles: [0; MOST_BESIDE], jobs: jobs.len() };
        job.tiles[..jobs.len()].copy_from_slice(jobs);
        // SAFETY: the last launch is closed and nobody is inside (the end of the last `run`); `&mut self` keeps others out.
        unsafe { *shared.job.get() = Some(job) };
        let threads = shared.next.len();
        for (worker, next) in shared.next.iter().enumerate() {
            for (next, &tiles) in next.0.iter().zip(jobs) {
                next.store(share(tiles, worker, threads).0, SeqCst);
            }
        }
        let number = (launch(shared.state.load(SeqCst)) + 1) & (u64::MAX >> 33);
        shared.state.store(OPEN | number << 32, SeqCst);
        if shared.sleepers.load(SeqCst) > 0 {
            let _guard = shared.locked();
            for _ in 0..shared.sleepers.load(SeqCst).min(jobs.iter().sum::<usize>() - 1) {
                shared.wake.notify_one();
            }
        }
        shared.take_part(job, 0);
        shared.state.fetch_and(!OPEN, SeqCst);
        shared.wait_until_empty();
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(payload) = panic {
            std::panic::resume_unwind(payload);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, SeqCst);
        drop(self.shared.locked());
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life.
    fn serve(&self, worker: usize) {
        let mut last = 0;
        while let Some(number) = self.next_launch(last) {
            last = number;
            let seen = self.state.load(SeqCst);
            if self.enter(seen, number) {
                // SAFETY: we are inside, so the job is set and not written.
                if let Some(job) = unsafe { *self.job.get() } {
                    self.take_part(job, worker);
                }
                self.leave();
            }
        }
    }

    /// Waits for an open launch other than `last`; `None` at shutdown.
    fn next_launch(&self, last: u64) -> Option<u64> {
        let ready = || {
            let state = self.state.load(SeqCst);
            (state & OPEN != 0 && launch(state) != last).then(|| launch(state))
        };
        if self.spin {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                for _ in 0..32 {
                    if let Some(number) = ready() {
                        return Some(number);
                    }
                    std::hint::spin_loop();
                }
            }
        }
        let mut guard = self.locked();
        // Counted before looking: a launch after the look sees the sleeper and takes the lock to wake it.
        self.sleepers.fetch_add(1, SeqCst);
        let found = loop {
            if self.shutdown.load(SeqCst) {
                break None;
            }
            if let Some(number) = ready() {
                break Some(number);
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, SeqCst);
        found
    }

    /// Counts the worker in, unless that launch has closed meanwhile.
    fn enter(&self, mut seen: u64, number: u64) -> bool {
        while seen & OPEN != 0 && launch(seen) == number {
            match self.state.compare_exchange_weak(seen, seen + 1, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    fn leave(&self) {
        let before = self.state.fetch_sub(1, SeqCst);
        if before & OPEN == 0 && inside(before) == 1 && self.caller_waits.load(SeqCst) {
            drop(self.locked());
            self.done.notify_one();
        }
    }

    /// Claims and does tiles, first of its own shares, until none is left.
    fn take_part(&self, job: Job, worker: usize) {
        // SAFETY: the closure lives until `run` returns, which waits for everybody inside.
        let work = unsafe { &*job.work };
        let threads = self.next.len();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for whose in (worker..threads).chain(0..worker) {
                for (number, next) in self.next[whose].0.iter().enumerate().take(job.jobs) {
                    let end = share(job.tiles[number], whose, threads).1;
                    // Ever smaller parts of what is left: few claims, and threads of unequal speed end together.
                    let part = |begin: usize| (end.saturating_sub(begin) / 4).max(1);
                    let claim = |begin: usize| (begin < end).then(|| begin + part(begin));
                    while let Ok(begin) = next.fetch_update(SeqCst, SeqCst, claim) {
                        work(number, begin, begin + part(begin), worker);
                    }
                }
            }
        }));
        if let Err(payload) = done {
            // Nobody need start what is left.
            for next in &self.next {
                next.0.iter().zip(job.tiles).for_each(|(next, tiles)| next.store(tiles, SeqCst));
            }
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    }

    /// The caller's wait for the workers that are still inside.
    fn wait_until_empty(&self) {
        let empty = || inside(self.state.load(SeqCst)) == 0;
        if self.spin {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                for _ in 0..32 {
                    if empty() {
                        return;
                    }
                    std::hint::spin_loop();
                }
            }
        }
        if empty() {
            return;
        }
        let mut guard = self.locked();
        self.caller_waits.store(true, SeqCst);
        while !empty() {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_waits.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_once_at_any_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            let mut pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for tiles in [0, 1, 2, 5, 64, 1000] {
                let counts: Vec<AtomicUsize> = (0..tiles).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tiles, &|begin, end, worker| {
                    assert!(worker < threads && begin < end);
                    for count in &counts[begin..end] {
                        count.fetch_add(1, SeqCst);
                    }
                });
                assert!(counts.iter().all(|c| c.load(SeqCst) == 1));
            }
        }
    }

    #[test]
    fn every_tile_of_every_job_once() {
        for threads in [1, 2, 3, 7] {
            let mut pool = Pool::new(threads).unwrap();
            for jobs in [&[5, 0, 64][..], &[0, 0], &[1, 1, 1], &[0, 1], &[100, 3, 1, 0, 7, 2, 2, 9]] {
                let counts: Vec<Vec<AtomicUsize>> =
                    jobs.iter().map(|&tiles| (0..tiles).map(|_| AtomicUsize::new(0)).collect()).collect();
                pool.run_jobs(jobs, &|job, begin, end, worker| {
                    assert!(worker < threads && begin < end);
                    for count in &counts[job][begin..end] {
                        count.fetch_add(1, SeqCst);
                    }
                });
                assert!(counts.iter().flatten().all(|c| c.load(SeqCst) == 1));
            }
        }
    }

    /// Launch after launch, with pauses in which workers fall asleep: a lost wake-up hangs, a late worker miscounts.
    #[test]
    fn many_launches_lose_nothing() {
        let mut pool = Pool::new(4).unwrap();
        let sum = AtomicUsize::new(0);
        for round in 0..3000 {
            pool.run(8, &|begin, end, _| {
                sum.fetch_add(end - begin, SeqCst);
            });
            assert_eq!(sum.load(SeqCst), 8 * (round + 1));
            if round % 500 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn a_panic_comes_back_and_the_pool_still_works() {
        let mut pool = Pool::new(3).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(100, &|begin, _, _| assert!(begin < 50, "tile {begin}"));
        }));
        let payload = caught.unwrap_err();
        assert!(payload.downcast_ref::<String>().unwrap().starts_with("tile "));
        let count = AtomicUsize::new(0);
        pool.run(100, &|begin, end, _| {
            count.fetch_add(end - begin, SeqCst);
        });
        assert_eq!(count.load(SeqCst), 100);
    }

    #[test]
    fn numbers_of_threads() {
        assert_eq!(choose_threads(Some(3)).unwrap(), 3);
        assert!(choose_threads(Some(0)).unwrap_err().to_string().contains("--threads asks for 0"));
    }
}
