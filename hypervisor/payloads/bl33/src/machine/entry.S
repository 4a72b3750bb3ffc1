// Where CPUs begin, and where exceptions arrive.
//
// Nothing is written to memory before the MMU and the caches are on, so there is nothing to clean or to drop.

.section .text.entry, "ax"

// The boot CPU, from TF-A: NS-EL2, MMU off, x0 is the device tree.
.global _start
_start:
	mov	x19, x0
	mov	x0, #0
	bl	set_up
	adrp	x9, __bss_start
	adrp	x10, __bss_end
	add	x10, x10, :lo12:__bss_end
1:	cmp	x9, x10
	b.hs	2f
	stp	xzr, xzr, [x9], #16
	b	1b
2:	mov	x0, x19
	bl	{MAIN}
3:	wfe
	b	3b

// Another CPU, from PSCI's CPU_ON: x0 is its index.
.global bl33_secondary_entry
bl33_secondary_entry:
	mov	x19, x0
	bl	set_up
	mov	x0, x19
	bl	{SECONDARY_MAIN}
1:	wfe
	b	1b

// Sets up the CPU with index x0: its stack, EL2, the MMU. Changes x9 and x10.
set_up:
	msr	daifset, #0xf
	msr	spsel, #1
	adrp	x9, __stacks_start
	add	x10, x0, #1
	add	x9, x9, x10, lsl #18
	mov	sp, x9

	// AArch64 below, and interrupts and aborts come here.
	mov	x9, #0x38
	orr	x9, x9, #(1 << 31)
	msr	hcr_el2, x9
	// Floating point and SIMD are not trapped.
	mov	x9, #0x33ff
	msr	cptr_el2, x9

	// Attribute 0 is Device-nGnRE, attribute 1 is Normal write-back.
	mov	x9, #0xff04
	msr	mair_el2, x9
	// 39 bits of address, walks through the caches, 40 bits of physical address.
	movz	x9, #0x8082, lsl #16
	movk	x9, #0x3519
	msr	tcr_el2, x9
	adrp	x9, tables
	msr	ttbr0_el2, x9
	adrp	x9, vectors
	add	x9, x9, :lo12:vectors
	msr	vbar_el2, x9
	isb
	tlbi	alle2
	ic	iallu
	dsb	nsh
	isb
	// The bits that are one, and MMU, caches and stack alignment.
	movz	x9, #0x30c5, lsl #16
	movk	x9, #0x183d
	msr	sctlr_el2, x9
	isb
	ret

// With all registers known, makes a call, or waits for the physical count in x0: x0 points at x0 to x30 and v0 to v31,
// which become those that are there afterwards. Waiting changes x0 and x1.
.macro with_registers name, waits
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
	.if \waits
1:	mrs	x1, cntpct_el0
	cmp	x1, x0
	b.lo	1b
	.else
	smc	#0
	.endif
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

with_registers bl33_call, 0
with_registers bl33_wait, 1

// Makes the call whose x0 to x17 x0 points at, and returns how many ticks of the counter go by. The calling convention
// keeps x18 to x30.
.global bl33_timed_call
bl33_timed_call:
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
	smc	#0
	mrs	x8, cntvct_el0
	stp	x0, x1, [x19]
	stp	x2, x3, [x19, #16]
	stp	x4, x5, [x19, #32]
	stp	x6, x7, [x19, #48]
	sub	x0, x8, x20
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #32
	ret

// Executes twice as many instructions as x0 says, and returns how many ticks of the counter go by.
.global bl33_timed_loop
bl33_timed_loop:
	isb
	mrs	x1, cntvct_el0
1:	subs	x0, x0, #1
	b.ne	1b
	mrs	x0, cntvct_el0
	sub	x0, x0, x1
	ret

// An interrupt: what the procedure call standard does not keep is kept here.
interrupt:
	sub	sp, sp, #192
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x30, [sp, #144]
	mrs	x0, elr_el2
	mrs	x1, spsr_el2
	stp	x0, x1, [sp, #160]
	bl	{INTERRUPT}
	ldp	x0, x1, [sp, #160]
	msr	elr_el2, x0
	msr	spsr_el2, x1
	ldp	x0, x1, [sp]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x30, [sp, #144]
	add	sp, sp, #192
	eret

fault:
	mrs	x1, esr_el2
	mrs	x2, elr_el2
	mrs	x3, far_el2
	bl	{FAULT}
1:	wfe
	b	1b

.balign 0x800
vectors:
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	.balign 0x80
	// IRQ from this exception level; no other exception is expected.
	.if \number == 5
	b	interrupt
	.else
	mov	x0, #\number
	b	fault
	.endif
.endr

// The identity map, in blocks of 1 GiB: devices, then 2 GiB of RAM.
.section .rodata.tables, "a"
.balign 4096
tables:
	.quad	0x00000000 | 1 << 54 | 1 << 10 | 1 << 6 | 1
	.quad	0x40000000 | 1 << 10 | 3 << 8 | 1 << 6 | 1 << 2 | 1
	.quad	0x80000000 | 1 << 54 | 1 << 10 | 3 << 8 | 1 << 6 | 1 << 2 | 1
	.fill	509, 8, 0
