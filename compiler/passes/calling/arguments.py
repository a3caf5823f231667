"""Arguments of a call from Python: arrays that lie in memory as planned, and plain numbers."""

from __future__ import annotations

from sympile.compiler.passes.calling.words import DATA, DESCRIPTOR, DIMENSIONS, FLAGS, RANK, READABLE, TYPE

# Whether an object is an array of the recorded dtype and shape, in memory as wanted. Its class is known already.
FITS = f"""
define internal i1 @fits(ptr %object, ptr %record, i32 %wanted) #attributes {{
entry:
  %descriptor.at = getelementptr i8, ptr %object, i64 {DESCRIPTOR}
  %descriptor = load ptr, ptr %descriptor.at
  %right.descriptor = word ptr argument.descriptor of %record
  %same.descriptor = icmp eq ptr %descriptor, %right.descriptor
  %flags.at = getelementptr i8, ptr %object, i64 {FLAGS}
  %flags = load i32, ptr %flags.at
  %set = and i32 %flags, %wanted
  %same.flags = icmp eq i32 %set, %wanted
  %rank.at = getelementptr i8, ptr %object, i64 {RANK}
  %rank.narrow = load i32, ptr %rank.at
  %rank = sext i32 %rank.narrow to i64
  %right.rank = word i64 argument.rank of %record
  %same.rank = icmp eq i64 %rank, %right.rank
  %both = and i1 %same.descriptor, %same.flags
  %all = and i1 %both, %same.rank
  br i1 %all, label %shape, label %no
shape:
  %dimensions.at = getelementptr i8, ptr %object, i64 {DIMENSIONS}
  %dimensions = load ptr, ptr %dimensions.at
  %right.shape = word ptr argument.shape of %record
  br label %axis
axis:
  %k = phi i64 [0, %shape], [%k.next, %length]
  %more = icmp slt i64 %k, %rank
  br i1 %more, label %length, label %yes
length:
  %given.at = getelementptr i64, ptr %dimensions, i64 %k
  %given = load i64, ptr %given.at
  %right.at = getelementptr i64, ptr %right.shape, i64 %k
  %right = load i64, ptr %right.at
  %k.next = add i64 %k, 1
  %same = icmp eq i64 %given, %right
  br i1 %same, label %axis, label %no
yes:
  ret i1 true
no:
  ret i1 false
}}"""

# A float or an int, converted as NumPy does, put where the table can point to. A float32 that overflows is left alone.
NUMBER = """
define internal i1 @number(ptr %object, ptr %type, ptr %record, ptr %plan) #attributes {
entry:
  %excess = alloca i32
  %place = word ptr argument.number of %record
  %narrow = word i64 argument.narrow of %record
  %is.narrow = icmp ne i64 %narrow, 0
  %none = icmp eq ptr %place, null
  br i1 %none, label %no, label %kind
kind:
  %float = word ptr call.float_type of %plan
  %float64 = word ptr call.float64_type of %plan
  %integer = word ptr call.integer_type of %plan
  %is.float = icmp eq ptr %type, %float
  %is.float64 = icmp eq ptr %type, %float64
  %is.real = or i1 %is.float, %is.float64
  br i1 %is.real, label %real, label %other
other:
  %is.integer = icmp eq ptr %type, %integer
  br i1 %is.integer, label %whole, label %no
real:
  %x = call double @python_PyFloat_AsDouble(ptr %object)
  br i1 %is.narrow, label %real.narrow, label %real.wide
real.wide:
  store double %x, ptr %place
  br label %yes
real.narrow:
  %x.narrow = fptrunc double %x to float
  br label %narrowed
whole:
  %n = call i64 @python_PyLong_AsLongLongAndOverflow(ptr %object, ptr %excess)
  %over = load i32, ptr %excess
  %large = icmp ne i32 %over, 0
  br i1 %large, label %no, label %whole.kind
whole.kind:
  br i1 %is.narrow, label %whole.narrow, label %whole.wide
whole.wide:
  %n.wide = sitofp i64 %n to double
  store double %n.wide, ptr %place
  br label %yes
whole.narrow:
  %n.narrow = sitofp i64 %n to float
  br label %narrowed
narrowed:
  %y = phi float [%x.narrow, %real.narrow], [%n.narrow, %whole.narrow]
  %rest = fsub float %y, %y
  %finite = fcmp oeq float %rest, 0.0
  store float %y, ptr %place
  br i1 %finite, label %yes, label %no
yes:
  %word = word ptr argument.word of %record
  store ptr %place, ptr %word
  ret i1 true
no:
  ret i1 false
}"""

IN_RANGE = """
define internal i1 @in_range(ptr %data, i64 %count, i64 %low, i64 %limit) #attributes {
entry:
  br label %turn
turn:
  %k = phi i64 [0, %entry], [%k.next, %look]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %look, label %yes
look:
  %at = getelementptr i64, ptr %data, i64 %k
  %value = load i64, ptr %at
  %k.next = add i64 %k, 1
  %above = sub i64 %value, %low
  %good = icmp ult i64 %above, %limit
  br i1 %good, label %turn, label %no
yes:
  ret i1 true
no:
  ret i1 false
}"""

# One argument: an array that fits, or a number. Its address goes into the table.
ARGUMENT = f"""
define internal i1 @argument(ptr %object, ptr %record, ptr %plan) #attributes {{
entry:
  %type.at = getelementptr i8, ptr %object, i64 {TYPE}
  %type = load ptr, ptr %type.at
  %array = word ptr call.array_type of %plan
  %is.array = icmp eq ptr %type, %array
  br i1 %is.array, label %look, label %number
number:
  %taken = call i1 @number(ptr %object, ptr %type, ptr %record, ptr %plan)
  ret i1 %taken
look:
  %good = call i1 @fits(ptr %object, ptr %record, i32 {READABLE})
  br i1 %good, label %take, label %no
take:
  %data.at = getelementptr i8, ptr %object, i64 {DATA}
  %data = load ptr, ptr %data.at
  %word = word ptr argument.word of %record
  store ptr %data, ptr %word
  %limit = word i64 argument.limit of %record
  %limited = icmp ne i64 %limit, 0
  br i1 %limited, label %check, label %yes
check:
  %count = word i64 argument.count of %record
  %low = word i64 argument.low of %record
  %inside = call i1 @in_range(ptr %data, i64 %count, i64 %low, i64 %limit)
  ret i1 %inside
yes:
  ret i1 true
no:
  ret i1 false
}}"""

ARGUMENTS = (FITS, NUMBER, IN_RANGE, ARGUMENT)
