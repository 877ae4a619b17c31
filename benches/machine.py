"""What was measured on, and with what."""
import hashlib
import os
import platform
import subprocess
from importlib import metadata


def machine():
    """Processor, cores, memory, system."""
    cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": cpu[0] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def digest(file):
    """A file's contents in 16 digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def revision(root):
    """The commit that is checked out, and whether something but results was changed since."""
    git = lambda *args: subprocess.run(["git", *args], cwd=root, capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/results")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")


def versions(packages):
    """Versions of packages; None where one of them is missing."""
    try:
        return {package: metadata.version(package) for package in packages}
    except metadata.PackageNotFoundError:
        return None
