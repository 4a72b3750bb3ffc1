// With all registers known, makes a call, or waits for the virtual count in x0: x0 points at x0 to x30 and v0 to v31,
// which become those that are there afterwards. Waiting changes x0 and x1.
.macro with_registers name, what
.global \name
\name:
	sub	sp, sp, #128
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	x29, x30, [sp, #96]
	str	x18, [sp, #112]
	str	x0, [sp]
.arch_extension fp
.arch_extension simd
	add	x1, x0, #256
	ldp	q0, q1, [x1, #0]
	ldp	q2, q3, [x1, #32]
	ldp	q4, q5, [x1, #64]
	ldp	q6, q7, [x1, #96]
	ldp	q8, q9, [x1, #128]
	ldp	q10, q11, [x1, #160]
	ldp	q12, q13, [x1, #192]
	ldp	q14, q15, [x1, #224]
	ldp	q16, q17, [x1, #256]
	ldp	q18, q19, [x1, #288]
	ldp	q20, q21, [x1, #320]
	ldp	q22, q23, [x1, #352]
	ldp	q24, q25, [x1, #384]
	ldp	q26, q27, [x1, #416]
	ldp	q28, q29, [x1, #448]
	ldp	q30, q31, [x1, #480]
	ldp	x1, x2, [x0, #8]
	ldp	x3, x4, [x0, #24]
	ldp	x5, x6, [x0, #40]
	ldp	x7, x8, [x0, #56]
	ldp	x9, x10, [x0, #72]
	ldp	x11, x12, [x0, #88]
	ldp	x13, x14, [x0, #104]
	ldp	x15, x16, [x0, #120]
	ldp	x17, x18, [x0, #136]
	ldp	x19, x20, [x0, #152]
	ldp	x21, x22, [x0, #168]
	ldp	x23, x24, [x0, #184]
	ldp	x25, x26, [x0, #200]
	ldp	x27, x28, [x0, #216]
	ldp	x29, x30, [x0, #232]
	ldr	x0, [x0]
	\what
	str	x0, [sp, #8]
	ldr	x0, [sp]
	stp	x1, x2, [x0, #8]
	stp	x3, x4, [x0, #24]
	stp	x5, x6, [x0, #40]
	stp	x7, x8, [x0, #56]
	stp	x9, x10, [x0, #72]
	stp	x11, x12, [x0, #88]
	stp	x13, x14, [x0, #104]
	stp	x15, x16, [x0, #120]
	stp	x17, x18, [x0, #136]
	stp	x19, x20, [x0, #152]
	stp	x21, x22, [x0, #168]
	stp	x23, x24, [x0, #184]
	stp	x25, x26, [x0, #200]
	stp	x27, x28, [x0, #216]
	stp	x29, x30, [x0, #232]
	ldr	x1, [sp, #8]
	str	x1, [x0]
	add	x1, x0, #256
	stp	q0, q1, [x1, #0]
	stp	q2, q3, [x1, #32]
	stp	q4, q5, [x1, #64]
	stp	q6, q7, [x1, #96]
	stp	q8, q9, [x1, #128]
	stp	q10, q11, [x1, #160]
	stp	q12, q13, [x1, #192]
	stp	q14, q15, [x1, #224]
	stp	q16, q17, [x1, #256]
	stp	q18, q19, [x1, #288]
	stp	q20, q21, [x1, #320]
	stp	q22, q23, [x1, #352]
	stp	q24, q25, [x1, #384]
	stp	q26, q27, [x1, #416]
	stp	q28, q29, [x1, #448]
	stp	q30, q31, [x1, #480]
.arch_extension nosimd
.arch_extension nofp
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp, #96]
	ldr	x18, [sp, #112]
	add	sp, sp, #128
	ret
.endm

.macro wait_for_count
1:	mrs	x1, cntvct_el0
	cmp	x1, x0
	b.lo	1b
.endm

with_registers payload_smc, "smc #0"
with_registers payload_hvc, "hvc #0"
with_registers payload_wait, wait_for_count

// Makes the call whose x0 to x17 x0 points at, and returns how many ticks of the counter go by. The calling convention
// keeps x18 to x30.
.macro timed name, conduit
.global \name
\name:
	stp	x29, x30, [sp, #-32]!
	stp	x19, x20, [sp, #16]
	mov	x19, x0
	ldp	x2, x3, [x19, #16]
	ldp	x4, x5, [x19, #32]
	ldp	x6, x7, [x19, #48]
	ldp	x8, x9, [x19, #64]
	ldp	x10, x11, [x19, #80]
	ldp	x12, x13, [x19, #96]
	ldp	x14, x15, [x19, #112]
	ldp	x16, x17, [x19, #128]
	ldp	x0, x1, [x19]
	isb
	mrs	x20, cntvct_el0
	\conduit	#0
	mrs	x8, cntvct_el0
	stp	x0, x1, [x19]
	stp	x2, x3, [x19, #16]
	stp	x4, x5, [x19, #32]
	stp	x6, x7, [x19, #48]
	sub	x0, x8, x20
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #32
	ret
.endm

timed payload_timed_smc, smc
timed payload_timed_hvc, hvc

// Reads the word of 32 bits at x0, and returns how many ticks of the counter go by.
.global payload_timed_read
payload_timed_read:
	isb
	mrs	x1, cntvct_el0
	ldr	w2, [x0]
	mrs	x0, cntvct_el0
	sub	x0, x0, x1
	ret

// Executes twice as many instructions as x0 says, and returns how many ticks of the counter go by.
.global payload_timed_loop
payload_timed_loop:
	isb
	mrs	x1, cntvct_el0
1:	subs	x0, x0, #1
	b.ne	1b
	mrs	x0, cntvct_el0
	sub	x0, x0, x1
	ret

