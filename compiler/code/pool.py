"""The pool of threads: regions split into chunks, which the caller and waiting workers claim one by one.

A worker that comes late, or that the system has put aside, delays nobody: the others claim its chunks. Which chunks
there are depends on the work alone, so results do not depend on the number of threads.
"""

from __future__ import annotations

from sympile.compiler.code import underflow
from sympile.compiler.code.target import Target
from sympile.compiler.program import POOL, POOL_SYMBOL, Code
from sympile.compiler.records import dataclass

ENTRY = "sympile_pool_functions"
FUNCTIONS = ("region", "worker", "stop")
REGION = ("part", "table", "extra", "length", "size", "count", "mode")  # the words that say what it is
SPIN = 2500  # pauses before a thread sleeps: some 20 to 60 µs
CLOSED = 0xFFFFFFFF  # a tag with this number lets nobody claim


@dataclass(frozen=True, slots=True)
class System:
    """How threads of one operating system wait for each other."""

    sleep: str  # body of a function of (word, value): waits while the word has the value, or for a short while
    wake: str  # body of a function of (word, count): wakes so many who wait for the word
    declared: str


def _futex(call: int) -> System:
    declared = "declare i64 @syscall(i64, ...)"
    futex = "%r = call i64 (i64, ...) @syscall(i64 {0}, ptr %word, i32 {1}, i32 {2}, ptr null, ptr null, i32 0)"
    return System(futex.format(call, 128, "%value"), futex.format(call, 129, "%count"), declared)


SHORT_SLEEPS = System("%r = call i32 @usleep(i32 100)", "", "declare i32 @usleep(i32)")
# fmt: off
SYSTEMS: dict[tuple[str, str], System] = {
    #  system     processor
    ("linux",   "x86_64"):  _futex(202),
    ("linux",   "aarch64"): _futex(98),
    ("windows", "x86_64"):  System("call void @Sleep(i32 1)", "", "declare void @Sleep(i32)"),
}
PAUSES = {  # processor → (arguments, intrinsic) that let the other thread of a core work
    "x86_64":  ("", "@llvm.x86.sse2.pause()"),
    "aarch64": ("i32 1", "@llvm.aarch64.hint(i32)"),
    "arm64":   ("i32 1", "@llvm.aarch64.hint(i32)"),
}
# fmt: on


def system_of(target: Target) -> System:
    """The row of a target's system; short sleeps where there is none."""
    processor = target.triple.split("-")[0]
    found = [row for (name, of), row in SYSTEMS.items() if of == processor and name in target.triple]
    return found[0] if found else SHORT_SLEEPS


def pool_code(target: Target) -> Code:
    """The code of the pool; its entry writes where FUNCTIONS start.

    They are region(part, table, extra, length, size), worker() and stop().
    """
    parts = (_declarations(target), _claim(target), _worker(target), _region(target), _stop(target), _entry(target))
    return Code("\n".join(parts), ENTRY, (POOL_SYMBOL,), level=0)  # regions are as quick


def _place(name: str) -> str:
    """Code for the address of one word."""
    return f"%{name}.at = getelementptr i8, ptr @{POOL_SYMBOL}, i64 {POOL[name]}"


def _places(*names: str) -> str:
    return "\n".join(f"  {_place(name)}" for name in names)


def _declarations(target: Target) -> str:
    system = system_of(target)
    given, pause = PAUSES[target.triple.split("-")[0]]
    return f"""target triple = "{target.triple}"
@{POOL_SYMBOL} = external global i8
{system.declared}
{underflow.declarations(target)}
declare void {pause}
define internal void @pause() nounwind alwaysinline {{
  call void {pause.split("(")[0]}({given})
  ret void
}}
define internal void @sleep(ptr %word, i32 %value) nounwind noinline {{
  {system.sleep}
  ret void
}}
define internal void @wake(ptr %word, i32 %count) nounwind noinline {{
  {system.wake}
  ret void
}}"""


def _claim(target: Target) -> str:
    """Claims and runs chunks of one generation until none is left."""
    return "\n".join((_claim_won(target), _claim_run(target)))


def _claim_won(target: Target) -> str:
    """What a region consists of is read before the claim: that a claim succeeds proves that it was not yet replaced."""
    loads = "\n".join(f"  %{n} = load atomic i64, ptr %{n}.at monotonic, align 8" for n in REGION)
    return f"""
define internal void @claim(i64 %generation) nounwind noinline {target.attributes} {{
entry:
{_places("tag", "done", "waiting", *REGION)}
  %mode.own = alloca i32
  br label %look
look:
  %seen = load atomic i64, ptr %tag.at acquire, align 8
  %of = lshr i64 %seen, 32
  %same = icmp eq i64 %of, %generation
  br i1 %same, label %read, label %out
read:
{loads}
  fence acquire
  %number = and i64 %seen, {CLOSED}
  %left = icmp ult i64 %number, %count
  br i1 %left, label %try, label %out
try:
  %following = add i64 %seen, 1
  %exchange = cmpxchg ptr %tag.at, i64 %seen, i64 %following acq_rel monotonic
  %won = extractvalue {{i64, i1}} %exchange, 1
  br i1 %won, label %run, label %look"""


def _claim_run(target: Target) -> str:
    """Runs the chunk; who has finished the last one tells the thread that waits for it."""
    return f"""run:
  %function = inttoptr i64 %part to ptr
  %table.p = inttoptr i64 %table to ptr
  %extra.p = inttoptr i64 %extra to ptr
  %first = mul i64 %number, %size
  %end = add i64 %first, %size
  %last = call i64 @llvm.smin.i64(i64 %end, i64 %length)
  %mode.bits = trunc i64 %mode to i32
  store i32 %mode.bits, ptr %mode.own
{underflow.set_from(target, "mode.own")}\
  call void %function(ptr %table.p, ptr %extra.p, i64 %first, i64 %last, i64 %number)
  %before = atomicrmw add ptr %done.at, i32 1 seq_cst
  %now = add i32 %before, 1
  %count32 = trunc i64 %count to i32
  %all = icmp eq i32 %now, %count32
  br i1 %all, label %tell, label %look
tell:
  %awaited = load atomic i32, ptr %waiting.at seq_cst, align 4
  %asleep = icmp ne i32 %awaited, 0
  br i1 %asleep, label %rouse, label %look
rouse:
  call void @wake(ptr %done.at, i32 1)
  br label %look
out:
  ret void
}}
declare i64 @llvm.smin.i64(i64, i64)"""


def _worker(target: Target) -> str:
    """What a waiting thread does: it looks for a new generation, first without sleeping, then asleep."""
    return "\n".join((_worker_awake(target), _worker_asleep(target)))


def _worker_awake(target: Target) -> str:
    return f"""
define internal void @worker() nounwind {target.attributes} {{
entry:
{_places("tag", "stop", "sleepers", "wake")}
{underflow.kept(target, "mode.before")}  br label %wait
wait:
  %past = phi i64 [0, %entry], [%generation, %work]
  br label %look
look:
  %turn = phi i64 [0, %wait], [%turn.next, %tired], [0, %awake]
  %ended = load atomic i32, ptr %stop.at acquire, align 4
  %ends = icmp ne i32 %ended, 0
  br i1 %ends, label %out, label %check
check:
  %tag = load atomic i64, ptr %tag.at acquire, align 8
  %generation = lshr i64 %tag, 32
  %number = and i64 %tag, {CLOSED}
  %other = icmp ne i64 %generation, %past
  %open = icmp ne i64 %number, {CLOSED}
  %new = and i1 %other, %open
  br i1 %new, label %work, label %tired
work:
  call void @claim(i64 %generation)
  br label %wait
tired:
  call void @pause()
  %turn.next = add i64 %turn, 1
  %enough = icmp sge i64 %turn.next, {SPIN}
  br i1 %enough, label %lie.down, label %look"""


def _worker_asleep(target: Target) -> str:
    """It counts as a sleeper before it looks once more: who publishes a region after that look wakes it."""
    return f"""lie.down:
  %word = load atomic i32, ptr %wake.at acquire, align 4
  %s0 = atomicrmw add ptr %sleepers.at, i32 1 seq_cst
  %tag.again = load atomic i64, ptr %tag.at seq_cst, align 8
  %still = icmp eq i64 %tag.again, %tag
  %stop.again = load atomic i32, ptr %stop.at seq_cst, align 4
  %goes.on = icmp eq i32 %stop.again, 0
  %calm = and i1 %still, %goes.on
  br i1 %calm, label %asleep, label %awake
asleep:
  call void @sleep(ptr %wake.at, i32 %word)
  br label %awake
awake:
  %s1 = atomicrmw sub ptr %sleepers.at, i32 1 seq_cst
  br label %look
out:
{underflow.set_from(target, "mode.before")}  ret void
}}"""


def _region(target: Target) -> str:
    """Publishes a region and takes part in it; without workers, or inside another region, the caller does it alone."""
    return "\n".join((_region_start(target), _region_alone(), _region_published(), _region_joined()))


def _region_start(target: Target) -> str:
    words = ("workers", "owner", "tag", "done", "waiting", "sleepers", "wake", *REGION)
    return f"""
define internal void @region(ptr %part, ptr %table, ptr %extra, i64 %length, i64 %size) nounwind {target.attributes} {{
entry:
{_places(*words)}
{underflow.kept(target, "mode.now")}  %mode.bits = load i32, ptr %mode.now
  %mode = zext i32 %mode.bits to i64
  %over = add i64 %length, %size
  %over1 = sub i64 %over, 1
  %count = sdiv i64 %over1, %size
  %workers = load atomic i64, ptr %workers.at monotonic, align 8
  %helped = icmp ne i64 %workers, 0
  br i1 %helped, label %ask, label %alone
ask:
  %asked = cmpxchg ptr %owner.at, i32 0, i32 1 acq_rel monotonic
  %mine = extractvalue {{i32, i1}} %asked, 1
  br i1 %mine, label %publish, label %alone"""


def _region_alone() -> str:
    return """alone:
  %k = phi i64 [0, %entry], [0, %ask], [%k.next, %alone.body]
  %k.in = icmp slt i64 %k, %count
  br i1 %k.in, label %alone.body, label %out
alone.body:
  %first = mul i64 %k, %size
  %end = add i64 %first, %size
  %last = call i64 @llvm.smin.i64(i64 %end, i64 %length)
  call void %part(ptr %table, ptr %extra, i64 %first, i64 %last, i64 %k)
  %k.next = add i64 %k, 1
  br label %alone"""


def _region_published() -> str:
    """The tag is closed while the words change: who has read old ones can claim nothing with them."""
    pointers = "\n".join(f"  %{name}.i = ptrtoint ptr %{name} to i64" for name in ("part", "table", "extra"))
    values = {name: f"%{name}.i" if name in ("part", "table", "extra") else f"%{name}" for name in REGION}
    stores = "\n".join(f"  store atomic i64 {v}, ptr %{n}.at monotonic, align 8" for n, v in values.items())
    return f"""publish:
{pointers}
  %old = load atomic i64, ptr %tag.at monotonic, align 8
  %old.generation = lshr i64 %old, 32
  %next.generation = add i64 %old.generation, 1
  %open = shl i64 %next.generation, 32
  %closed = or i64 %open, {CLOSED}
  %generation = lshr i64 %open, 32
  store atomic i64 %closed, ptr %tag.at monotonic, align 8
  fence release
{stores}
  store atomic i32 0, ptr %done.at monotonic, align 4
  store atomic i32 0, ptr %waiting.at monotonic, align 4
  store atomic i64 %open, ptr %tag.at seq_cst, align 8
  %w = atomicrmw add ptr %wake.at, i32 1 seq_cst
  %sleeping = load atomic i32, ptr %sleepers.at seq_cst, align 4
  %some = icmp ne i32 %sleeping, 0
  br i1 %some, label %rouse, label %take.part
rouse:
  %others = sub i64 %count, 1
  %others32 = trunc i64 %others to i32
  call void @wake(ptr %wake.at, i32 %others32)
  br label %take.part"""


def _region_joined() -> str:
    """Works until no chunk is left, then waits for the chunks that others have."""
    return f"""take.part:
  call void @claim(i64 %generation)
  %count32 = trunc i64 %count to i32
  br label %join
join:
  %turn = phi i64 [0, %take.part], [%turn.next, %patience]
  %finished = load atomic i32, ptr %done.at acquire, align 4
  %all = icmp eq i32 %finished, %count32
  br i1 %all, label %leave, label %patience
patience:
  call void @pause()
  %turn.next = add i64 %turn, 1
  %enough = icmp sge i64 %turn.next, {SPIN}
  br i1 %enough, label %lie.down, label %join
lie.down:
  store atomic i32 1, ptr %waiting.at seq_cst, align 4
  %now = load atomic i32, ptr %done.at seq_cst, align 4
  %late = icmp eq i32 %now, %count32
  br i1 %late, label %leave, label %asleep
asleep:
  call void @sleep(ptr %done.at, i32 %now)
  br label %lie.down
leave:
  store atomic i32 0, ptr %owner.at release, align 4
  br label %out
out:
  ret void
}}"""


def _stop(target: Target) -> str:
    """Sends the workers home; a region that is under way is finished by who has a chunk of it."""
    return f"""
define internal void @stop() nounwind {target.attributes} {{
{_places("workers", "stop", "wake")}
  store atomic i64 0, ptr %workers.at seq_cst, align 8
  store atomic i32 1, ptr %stop.at seq_cst, align 4
  %w = atomicrmw add ptr %wake.at, i32 1 seq_cst
  call void @wake(ptr %wake.at, i32 {0x7FFFFFFF})
  ret void
}}"""


def _entry(target: Target) -> str:
    stores = "\n".join(
        f"  %{name} = getelementptr ptr, ptr %words, i64 {k}\n  store ptr @{name}, ptr %{name}"
        for k, name in enumerate(FUNCTIONS)
    )
    return f"""
define void @{ENTRY}(ptr %words) nounwind {target.attributes} {{
{stores}
  ret void
}}"""
