"""Two hosts on this machine, for MPI over a slow link: sets of namespaces (network, host name, /dev/shm, /tmp) with two networks between
them, "fast0" as fast as the machine and "slow0" with a rate and a delay. Both go through a switch (switch.cpp), so that what it takes of
the cores is the same. Nothing of the machine's own network is touched. Needs root and /dev/net/tun. Used by slow_link.py; mpirun calls it to start its daemons:
    hosts.py rsh FOLDER HOST COMMAND..."""
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ADDRESS = {"fast0": "10.77.1.", "slow0": "10.77.2."}
OPTIONS = ["--mca", "plm", "rsh", "--mca", "pml", "ob1", "--mca", "btl", "self,vader,tcp", "--mca", "oob_tcp_if_include", "fast0",
           "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "--leave-session-attached"]  # ranks, the switch and the kernel's network share the cores


class Hosts:
    def __init__(self, folder, megabits, delay_us):
        if os.geteuid() != 0: sys.exit("namespaces and a network between them need root")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes, self.pids, self.switches = [], {}, {}
        try: self.build(megabits, delay_us)
        except BaseException:
            self.close()
            raise

    def build(self, megabits, delay_us):
        names = ("left", "right")
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{ADDRESS['fast0']}{i} {n}\n" for i, n in enumerate(names, 1)))
        for name in names: self.start(name)
        left, right = (str(self.pids[n]) for n in names)
        program = self.folder / "switch"
        run("g++", "-O2", "-std=c++20", "-o", program, HERE / "switch.cpp")
        for device, rate, delay in (("fast0", 0, 0), ("slow0", megabits, delay_us)):
            ready = self.folder / f"{device}.ready"
            self.switches[device] = subprocess.Popen([program, device, str(rate), str(delay), ready, left, right])
            self.processes.append(self.switches[device])
            wait_for(ready.exists, "the switch")
        for i, name in enumerate(names, 1):
            for device, network in ADDRESS.items():
                self.inside(name, "ip", "addr", "add", f"{network}{i}/24", "dev", device)
                self.inside(name, "ip", "link", "set", device, "mtu", "9000", "up")

    def start(self, name):
        """Its namespaces live as long as a process that sleeps in them."""
        ready = self.folder / f"{name}.ready"
        script = (f"hostname {name}; mount -t tmpfs shm /dev/shm; mount -t tmpfs tmp /tmp; mount --bind {self.folder}/hosts /etc/hosts;"
                  f" ip link set lo up; touch {ready}; exec sleep infinity")
        process = subprocess.Popen(["unshare", "--net", "--uts", "--ipc", "--mount", "sh", "-ec", script], stdin=subprocess.DEVNULL)
        self.processes.append(process)
        self.pids[name] = process.pid
        wait_for(ready.exists, name)

    def inside(self, name, *words): run(*entering(self.pids[name]), *words)

    def mpirun(self, device, *words):
        """Standard output of the words on both hosts, one rank each, over `device`."""
        (self.folder / "pids").write_text("".join(f"{n} {p}\n" for n, p in self.pids.items()))
        agent = f"{sys.executable} {HERE / 'hosts.py'} rsh {self.folder}"
        launcher = ["mpirun", "--host", "left:1,right:1", "--mca", "plm_rsh_agent", agent, "--mca", "btl_tcp_if_include", device, *OPTIONS]
        environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        done = subprocess.run([*entering(self.pids["left"]), *launcher, *map(str, words)], env=environment, text=True, capture_output=True)
        if done.returncode != 0: sys.exit(f"{' '.join(map(str, words))}\nended with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    def switch_seconds(self, device):
        """Seconds that the device's switch has had a core."""
        ticks = pathlib.Path(f"/proc/{self.switches[device].pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def close(self):
        for process in self.processes: process.kill()
        for process in self.processes: process.wait()


def entering(pid): return ["nsenter", "-t", str(pid), "-n", "-u", "-i", "-m", f"-w{os.getcwd()}"]


def run(*words):
    subprocess.run([str(w) for w in words], check=True)


def wait_for(is_there, what):
    for _ in range(500):
        if is_there(): return
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not start")


if __name__ == "__main__":
    _, _, folder, host, *command = sys.argv
    pid = dict(line.split() for line in (pathlib.Path(folder) / "pids").read_text().splitlines())[host]
    words = [*entering(pid), "sh", "-c", " ".join(command)]
    os.execvp(words[0], words)
