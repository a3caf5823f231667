"""The way from Python into compiled code without Python in between: one builtin function for all programs.

It gets a tuple of values and what to write to, and compares every array with the plan of a call that went well: type,
dtype, memory order, shape. Where all fits, it fills the program's table, runs it, and returns what it computed. Where
anything is unusual it returns None, having done nothing that shows, and the caller takes the general way.
"""

from __future__ import annotations

from sympile.compiler.code.target import Target
from sympile.compiler.passes.calling.arguments import ARGUMENTS
from sympile.compiler.passes.calling.results import RESULTS
from sympile.compiler.passes.calling.words import TYPE, written_out
from sympile.compiler.program import ARGUMENT_WORDS, Code

ENTRY = "sympile_call"

# What the code calls: result and parameters. The names say whose function it is (runtime/libraries.py).
# fmt: off
IMPORTS = {
    "python_PyTuple_GetItem":               ("ptr",    "ptr, i64"),
    "python_PyTuple_Size":                  ("i64",    "ptr"),
    "python_PyList_New":                    ("ptr",    "i64"),
    "python_PyList_Size":                   ("i64",    "ptr"),
    "python_PyList_GetItem":                ("ptr",    "ptr, i64"),
    "python_PyList_SetItem":                ("i32",    "ptr, i64, ptr"),
    "python_PyLong_AsVoidPtr":              ("ptr",    "ptr"),
    "python_PyLong_AsLongLongAndOverflow":  ("i64",    "ptr, ptr"),
    "python_PyFloat_AsDouble":              ("double", "ptr"),
    "python_Py_IncRef":                     ("void",   "ptr"),
    "python_Py_DecRef":                     ("void",   "ptr"),
    "python_PyErr_Clear":                   ("void",   ""),
    "python_PyEval_SaveThread":             ("ptr",    ""),
    "python_PyEval_RestoreThread":          ("void",   "ptr"),
    "numpy_PyArray_New":                    ("ptr",    "ptr, i32, ptr, i32, ptr, ptr, i32, i32, ptr"),
    "numpy_PyArray_Return":                 ("ptr",    "ptr"),
}
# fmt: on


def python_call(target: Target) -> Code:
    """The builtin function `(values, out)`; its `self` is a tuple that starts with the address of a plan."""
    declared = [f"declare {result} @{name}({parameters})" for name, (result, parameters) in IMPORTS.items()]
    functions = "\n".join([*ARGUMENTS, *RESULTS, _ENTRY])
    text = written_out(functions).replace("#attributes", f"nounwind {target.attributes}")
    # level 1 takes 21 ms instead of 6, for calls that are hardly quicker
    return Code("\n".join([*declared, text]), ENTRY, tuple(IMPORTS), level=0)


_ENTRY = f"""
define ptr @{ENTRY}(ptr %self, ptr %given, i64 %given_count) #attributes {{
entry:
  %address = call ptr @python_PyTuple_GetItem(ptr %self, i64 0)
  %plan = call ptr @python_PyLong_AsVoidPtr(ptr %address)
  %values = load ptr, ptr %given
  %out.at = getelementptr ptr, ptr %given, i64 1
  %out = load ptr, ptr %out.at
  %none = word ptr call.none of %plan
  %is.new = icmp eq ptr %out, %none
  %busy = word i64 call.busy of %plan
  %free = icmp eq i64 %busy, 0
  br i1 %free, label %begin, label %no
begin:
  store i64 1, ptr %busy.at
  %argument_count = word i64 call.argument_count of %plan
  %arguments = word ptr call.arguments of %plan
  %value_count = call i64 @python_PyTuple_Size(ptr %values)
  %right.count = icmp eq i64 %value_count, %argument_count
  br i1 %right.count, label %in, label %miss
in:
  %i = phi i64 [0, %begin], [%i.next, %in.one]
  %in.more = icmp slt i64 %i, %argument_count
  br i1 %in.more, label %in.one, label %into
in.one:
  %value = call ptr @python_PyTuple_GetItem(ptr %values, i64 %i)
  %in.skip = mul i64 %i, {len(ARGUMENT_WORDS)}
  %argument = getelementptr i64, ptr %arguments, i64 %in.skip
  %in.good = call i1 @argument(ptr %value, ptr %argument, ptr %plan)
  %i.next = add i64 %i, 1
  br i1 %in.good, label %in, label %miss
into:
  %results = word ptr call.results of %plan
  %result_count = word i64 call.result_count of %plan
  %alone = word i64 call.alone of %plan
  %is.alone = icmp ne i64 %alone, 0
  %simple = or i1 %is.alone, %is.new
  br i1 %simple, label %out.loop, label %list
list:
  %type.at = getelementptr i8, ptr %out, i64 {TYPE}
  %type = load ptr, ptr %type.at
  %list.type = word ptr call.list_type of %plan
  %is.list = icmp eq ptr %type, %list.type
  br i1 %is.list, label %list.length, label %miss
list.length:
  %length = call i64 @python_PyList_Size(ptr %out)
  %right.length = icmp eq i64 %length, %result_count
  br i1 %right.length, label %out.loop, label %miss
out.loop:
  %k = phi i64 [0, %into], [0, %list.length], [%k.next, %out.one]
  %out.more = icmp slt i64 %k, %result_count
  br i1 %out.more, label %out.one, label %run
out.one:
  %k.next = add i64 %k, 1
  %out.good = call i1 @result(ptr %out, i64 %k, ptr %plan)
  br i1 %out.good, label %out.loop, label %drop
run:
  %function = word ptr call.function of %plan
  %table = word ptr call.table of %plan
  %trouble = word ptr call.trouble of %plan
  %release = word i64 call.release of %plan
  store i32 0, ptr %trouble
  %releases = icmp ne i64 %release, 0
  br i1 %releases, label %run.free, label %run.held
run.held:
  call void %function(ptr %table)
  br label %look
run.free:
  %thread = call ptr @python_PyEval_SaveThread()
  call void %function(ptr %table)
  call void @python_PyEval_RestoreThread(ptr %thread)
  br label %look
look:
  %status = load i32, ptr %trouble
  %calm = icmp eq i32 %status, 0
  br i1 %calm, label %good, label %drop
good:
  %answer = call ptr @finished(ptr %plan, i1 %is.new)
  store i64 0, ptr %busy.at
  ret ptr %answer
drop:
  %made = phi i64 [%k, %out.one], [%result_count, %look]
  call void @clear(ptr %results, i64 %made)
  br label %miss
miss:
  store i64 0, ptr %busy.at
  br label %no
no:
  call void @python_Py_IncRef(ptr %none)
  ret ptr %none
}}"""
