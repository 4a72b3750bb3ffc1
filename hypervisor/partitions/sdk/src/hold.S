// Registers that hold a pattern: a busy loop and a call between filling them and looking at them again. What an
// interrupt or another partition does in between must not show.
//
// Register n of x9 to x28 holds the seed plus n, both halves of v0 to v31 the seed plus 32 plus n, the upper one
// inverted. Partitions have floating point off: it is on in here only. In the macros x0 is the seed, x6 counts the
// registers that have changed, and x5 and x7 are free.

.equ	PATTERN_FPCR, 1 << 22		// RMode: towards plus infinity
.equ	PATTERN_FPSR, 1 << 27		// QC

// Saves the callee's registers. 112 bytes are free at the stack pointer plus 112.
.macro enter_hold
	stp	x29, x30, [sp, #-224]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	str	x18, [sp, #96]
	mrs	x5, cpacr_el1
	str	x5, [sp, #104]
	orr	x5, x5, #3 << 20	// FPEN
	msr	cpacr_el1, x5
	isb
	mov	x6, #0
.endm

.macro leave_hold
	msr	fpcr, xzr
	msr	fpsr, xzr
	ldr	x5, [sp, #104]
	msr	cpacr_el1, x5
	isb
	ldr	x18, [sp, #96]
	ldp	x27, x28, [sp, #80]
	ldp	x25, x26, [sp, #64]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #32]
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #224
	mov	x0, x6
	ret
.endm

.macro fill_general numbers:vararg
.irp number, \numbers
	add	x\number, x0, #\number
.endr
.endm

.macro check_general numbers:vararg
.irp number, \numbers
	add	x5, x0, #\number
	cmp	x\number, x5
	cinc	x6, x6, ne
.endr
.endm

.macro fill_vector number, low, whole
	add	x5, x0, #32 + \number
	mvn	x7, x5
	fmov	\low, x5
	mov	\whole\().d[1], x7
.endm

.macro check_vector number, low, whole
	add	x5, x0, #32 + \number
	fmov	x7, \low
	cmp	x7, x5
	cinc	x6, x6, ne
	mvn	x5, x5
	mov	x7, \whole\().d[1]
	cmp	x7, x5
	cinc	x6, x6, ne
.endm

.macro fill_vectors
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	fill_vector \number, d\number, v\number
.endr
	mov	x5, #PATTERN_FPCR
	msr	fpcr, x5
	mov	x5, #PATTERN_FPSR
	msr	fpsr, x5
.endm

.macro check_vectors
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	check_vector \number, d\number, v\number
.endr
	mov	x5, #PATTERN_FPCR
	mrs	x7, fpcr
	cmp	x7, x5
	cinc	x6, x6, ne
	mov	x5, #PATTERN_FPSR
	mrs	x7, fpsr
	cmp	x7, x5
	cinc	x6, x6, ne
.endm

.section .text.hold, "ax"
.arch_extension fp
.arch_extension simd

// Spins: x0 seed, x1 the count of the system counter at which it ends, x2 points at a word that ends it as soon as it
// is not zero, x3 points at where the number of turns goes. Returns how many registers have changed.
.balign 16
.global tantalum_sdk_hold
tantalum_sdk_hold:
	enter_hold
	mov	x4, #0
	fill_general 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
	fill_vectors
1:	add	x4, x4, #1
	ldr	w5, [x2]
	cbnz	w5, 2f
	isb
	mrs	x5, cntpct_el0
	cmp	x5, x1
	b.lo	1b
2:	str	x4, [x3]
	check_general 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
	check_vectors
	leave_hold

// Makes a call: x0 seed, x1 points at x0 to x17, which become those of the answer. Returns how many of the registers
// that a call preserves have changed.
.balign 16
.global tantalum_sdk_hold_call
tantalum_sdk_hold_call:
	enter_hold
	stp	x0, x1, [sp, #112]
	fill_general 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
	fill_vectors
	mov	x30, x1
	load_call
	smc	#0
	ldr	x30, [sp, #120]
	store_call
	ldr	x0, [sp, #112]
	mov	x6, #0
	check_general 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
	check_vectors
	leave_hold

// Looks for a pattern that somebody else has left: x0 seed. Returns how many of v0 to v31, by halves, FPCR and FPSR have
// it.
.balign 16
.global tantalum_sdk_look
tantalum_sdk_look:
	enter_hold
	check_vectors
	mov	x5, #66
	sub	x6, x5, x6
	leave_hold

.arch_extension nosimd
.arch_extension nofp
