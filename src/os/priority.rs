//! The priority of threads.

/// How much lower the priority is, in nice(2) levels. Against threads of the normal priority, such a thread gets about a
/// tenth of a core that both want.
const LEVELS: i32 = 10;

/// Lowers the priority of the current thread, which must not serve clients directly. Elsewhere than on Linux, where
/// nice(2) concerns the whole process, this does nothing.
pub fn lower() {
    if cfg!(target_os = "linux") {
        // Without the right to do so, the thread just runs at the normal priority.
        let _ = rustix::process::nice(LEVELS);
    }
}
