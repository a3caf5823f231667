"""Results of a call from Python: new arrays, or given ones that nothing else uses."""

from __future__ import annotations

from sympile.compiler.passes.calling.words import DATA, TYPE, WRITABLE
from sympile.compiler.program import ARGUMENT_WORDS, RESULT_WORDS

# Whether the memory of one array touches none of `count` others; `step` words lie between their records.
APART = """
define internal i1 @apart(ptr %data, i64 %bytes, ptr %records, i64 %count, i64 %step) #attributes {
entry:
  %start = ptrtoint ptr %data to i64
  %end = add i64 %start, %bytes
  br label %turn
turn:
  %k = phi i64 [0, %entry], [%k.next, %look]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %look, label %yes
look:
  %skip = mul i64 %k, %step
  %record = getelementptr i64, ptr %records, i64 %skip
  %word = word ptr argument.word of %record
  %other = load i64, ptr %word
  %other.bytes = word i64 argument.bytes of %record
  %other.end = add i64 %other, %other.bytes
  %k.next = add i64 %k, 1
  %before = icmp ule i64 %end, %other
  %after = icmp ule i64 %other.end, %start
  %good = or i1 %before, %after
  br i1 %good, label %turn, label %no
yes:
  ret i1 true
no:
  ret i1 false
}"""

# Lets go of the first results.
CLEAR = f"""
define internal void @clear(ptr %results, i64 %count) #attributes {{
entry:
  br label %turn
turn:
  %k = phi i64 [0, %entry], [%k.next, %one]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %one, label %done
one:
  %skip = mul i64 %k, {len(RESULT_WORDS)}
  %record = getelementptr i64, ptr %results, i64 %skip
  %object = word ptr result.object of %record
  call void @python_Py_DecRef(ptr %object)
  %k.next = add i64 %k, 1
  br label %turn
done:
  ret void
}}"""

# One result: a new array, or the one that is given if it can be written to while the arguments are read.
RESULT = f"""
define internal i1 @result(ptr %out, i64 %k, ptr %plan) #attributes {{
entry:
  %results = word ptr call.results of %plan
  %skip = mul i64 %k, {len(RESULT_WORDS)}
  %record = getelementptr i64, ptr %results, i64 %skip
  %array = word ptr call.array_type of %plan
  %none = word ptr call.none of %plan
  %bytes = word i64 result.bytes of %record
  %wanted = icmp eq ptr %out, %none
  br i1 %wanted, label %new, label %given
new:
  %rank = word i64 result.rank of %record
  %rank.narrow = trunc i64 %rank to i32
  %shape = word ptr result.shape of %record
  %kind = word i64 result.kind of %record
  %kind.narrow = trunc i64 %kind to i32
  %made = call ptr @numpy_PyArray_New(ptr %array, i32 %rank.narrow, ptr %shape, i32 %kind.narrow, ptr null, ptr null,
    i32 0, i32 0, ptr null)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %error, label %take
error:
  call void @python_PyErr_Clear()
  ret i1 false
given:
  %alone = word i64 call.alone of %plan
  %is.alone = icmp ne i64 %alone, 0
  br i1 %is.alone, label %look, label %member
member:
  %one = call ptr @python_PyList_GetItem(ptr %out, i64 %k)
  br label %look
look:
  %target = phi ptr [%out, %given], [%one, %member]
  %type.at = getelementptr i8, ptr %target, i64 {TYPE}
  %type = load ptr, ptr %type.at
  %is.array = icmp eq ptr %type, %array
  br i1 %is.array, label %fit, label %no
fit:
  %good = call i1 @fits(ptr %target, ptr %record, i32 {WRITABLE})
  br i1 %good, label %free, label %no
free:
  %target.at = getelementptr i8, ptr %target, i64 {DATA}
  %target.data = load ptr, ptr %target.at
  %arguments = word ptr call.arguments of %plan
  %argument_count = word i64 call.argument_count of %plan
  %a = call i1 @apart(ptr %target.data, i64 %bytes, ptr %arguments, i64 %argument_count, i64 {len(ARGUMENT_WORDS)})
  %b = call i1 @apart(ptr %target.data, i64 %bytes, ptr %results, i64 %k, i64 {len(RESULT_WORDS)})
  %both = and i1 %a, %b
  br i1 %both, label %keep, label %no
keep:
  call void @python_Py_IncRef(ptr %target)
  br label %take
take:
  %object = phi ptr [%made, %new], [%target, %keep]
  %data.at = getelementptr i8, ptr %object, i64 {DATA}
  %data = load ptr, ptr %data.at
  %word = word ptr result.word of %record
  store ptr %data, ptr %word
  %place = word at result.object of %record
  store ptr %object, ptr %place
  ret i1 true
no:
  ret i1 false
}}"""

# What Python gets: the one result, or a list. It owns the results from here on.
FINISHED = f"""
define internal ptr @shown(ptr %record, i1 %is.new) #attributes {{
entry:
  %object = word ptr result.object of %record
  %scalar = word i64 result.scalar of %record
  %is.scalar = icmp ne i64 %scalar, 0
  %both = and i1 %is.scalar, %is.new
  br i1 %both, label %number, label %array
number:
  %value = call ptr @numpy_PyArray_Return(ptr %object)
  ret ptr %value
array:
  ret ptr %object
}}
define internal ptr @finished(ptr %plan, i1 %is.new) #attributes {{
entry:
  %results = word ptr call.results of %plan
  %count = word i64 call.result_count of %plan
  %alone = word i64 call.alone of %plan
  %is.alone = icmp ne i64 %alone, 0
  br i1 %is.alone, label %one, label %several
one:
  %only = call ptr @shown(ptr %results, i1 %is.new)
  ret ptr %only
several:
  %list = call ptr @python_PyList_New(i64 %count)
  %failed = icmp eq ptr %list, null
  br i1 %failed, label %error, label %turn
error:
  call void @clear(ptr %results, i64 %count)
  ret ptr null
turn:
  %k = phi i64 [0, %several], [%k.next, %member]
  %whole = phi i1 [true, %several], [%whole.next, %member]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %member, label %done
member:
  %skip = mul i64 %k, {len(RESULT_WORDS)}
  %record = getelementptr i64, ptr %results, i64 %skip
  %value = call ptr @shown(ptr %record, i1 %is.new)
  %there = icmp ne ptr %value, null
  %whole.next = and i1 %whole, %there
  %ignored = call i32 @python_PyList_SetItem(ptr %list, i64 %k, ptr %value)
  %k.next = add i64 %k, 1
  br label %turn
done:
  br i1 %whole, label %good, label %bad
good:
  ret ptr %list
bad:
  call void @python_Py_DecRef(ptr %list)
  ret ptr null
}}"""

RESULTS = (APART, CLEAR, RESULT, FINISHED)
