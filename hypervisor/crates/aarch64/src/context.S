// The vectors, and the switch between the hypervisor and an execution context.
//
// To Rust, entering an execution context is a call that returns when it comes back:
//
//   tantalum_enter(registers: *mut Registers, call: *mut CallRegisters) -> exit reason
//
// x0 to x17 are taken from `call` and put there, since they are those of a call as a rule, the others from and to
// `registers`. The callee-saved registers wait on the hypervisor's stack meanwhile, below them both addresses.

// Comes from a lower Exception level with its registers in place. x0 and x1 go to the stack, below the two addresses.
.macro leave reason
.balign 0x80
	stp	x0, x1, [sp, #-16]!
	mov	x1, #\reason
	b	leave_context
.endm

// Comes from the hypervisor itself, which is a fault. The stack may be what is broken.
.macro fault vector
.balign 0x80
	mov	x19, #\vector
	b	report_fault
.endm

.section .text.vectors, "ax"
.balign 0x800
.global tantalum_vectors
tantalum_vectors:
	fault	0		// current EL with SP_EL0: never used
	fault	1
	fault	2
	fault	3
	fault	4		// current EL with SP_EL2
	fault	5
	fault	6
	fault	7
	leave	{SYNCHRONOUS}	// lower EL
	leave	{IRQ}
	leave	{FIQ}
	leave	{SYSTEM_ERROR}
	fault	12		// lower EL where EL1 is AArch32, which HCR_EL2.RW rules out
	fault	13
	fault	14
	fault	15

.section .text.context, "ax"
report_fault:
	mov	x20, sp
	mov	x21, x30
	mov	x22, x29
	bl	tantalum_cpu_index
	adrp	x9, {EMERGENCY_STACKS}
	mov	x10, #{EMERGENCY_STACK_SIZE}
	madd	x9, x0, x10, x9
	add	sp, x9, x10
	mov	x0, x19
	mov	x1, x20
	mov	x2, x21
	mov	x29, #0
	mov	x30, #0
	bl	{fault}
	brk	#0

.balign 16
.global tantalum_enter
tantalum_enter:
	stp	x29, x30, [sp, #-112]!
	stp	x27, x28, [sp, #96]
	stp	x25, x26, [sp, #80]
	stp	x23, x24, [sp, #64]
	stp	x21, x22, [sp, #48]
	stp	x19, x20, [sp, #32]
	stp	x0, x1, [sp, #16]
	ldp	x2, x3, [x0, #{PC}]
	msr	elr_el2, x2
	msr	spsr_el2, x3
	ldr	x30, [x0, #240]
	ldp	x28, x29, [x0, #224]
	ldp	x26, x27, [x0, #208]
	ldp	x24, x25, [x0, #192]
	ldp	x22, x23, [x0, #176]
	ldp	x20, x21, [x0, #160]
	ldp	x18, x19, [x0, #144]
	ldp	x16, x17, [x1, #128]
	ldp	x14, x15, [x1, #112]
	ldp	x12, x13, [x1, #96]
	ldp	x10, x11, [x1, #80]
	ldp	x8, x9, [x1, #64]
	ldp	x6, x7, [x1, #48]
	ldp	x4, x5, [x1, #32]
	ldp	x2, x3, [x1, #16]
	ldp	x0, x1, [x1]
	eret
	// Nothing behind an ERET is executed, nor shall it be speculated.
	dsb	nsh
	isb

leave_context:
	ldr	x0, [sp, #40]
	stp	x2, x3, [x0, #16]
	stp	x4, x5, [x0, #32]
	stp	x6, x7, [x0, #48]
	stp	x8, x9, [x0, #64]
	stp	x10, x11, [x0, #80]
	stp	x12, x13, [x0, #96]
	stp	x14, x15, [x0, #112]
	stp	x16, x17, [x0, #128]
	ldp	x2, x3, [sp], #16
	stp	x2, x3, [x0]
	ldr	x0, [sp, #16]
	stp	x18, x19, [x0, #144]
	stp	x20, x21, [x0, #160]
	stp	x22, x23, [x0, #176]
	stp	x24, x25, [x0, #192]
	stp	x26, x27, [x0, #208]
	stp	x28, x29, [x0, #224]
	str	x30, [x0, #240]
	mrs	x2, elr_el2
	mrs	x3, spsr_el2
	stp	x2, x3, [x0, #{PC}]
	mov	x0, x1
	ldp	x19, x20, [sp, #32]
	ldp	x21, x22, [sp, #48]
	ldp	x23, x24, [sp, #64]
	ldp	x25, x26, [sp, #80]
	ldp	x27, x28, [sp, #96]
	ldp	x29, x30, [sp], #112
	ret

// The EL1 and EL0 system registers that an execution context, or the normal world, can use without a trap, in
// the order of `SystemRegisters`. x0 points to it; x1 and x2 change.
.macro save_pair offset, first, second
	mrs	x1, \first
	mrs	x2, \second
	stp	x1, x2, [x0, #\offset]
.endm

.macro load_pair offset, first, second
	ldp	x1, x2, [x0, #\offset]
	msr	\first, x1
	msr	\second, x2
.endm

.macro each_pair do
	\do	0, sctlr_el1, cpacr_el1
	\do	16, ttbr0_el1, ttbr1_el1
	\do	32, tcr_el1, mair_el1
	\do	48, amair_el1, vbar_el1
	\do	64, esr_el1, far_el1
	\do	80, afsr0_el1, afsr1_el1
	\do	96, par_el1, contextidr_el1
	\do	112, tpidr_el1, tpidr_el0
	\do	128, tpidrro_el0, cntkctl_el1
	\do	144, elr_el1, spsr_el1
	\do	160, sp_el0, sp_el1
.endm

// The keys of pointer authentication, in the order of `Keys`.
.macro each_key do
	\do	0, s3_0_c2_c1_0, s3_0_c2_c1_1		// APIAKeyLo_EL1, APIAKeyHi_EL1
	\do	16, s3_0_c2_c1_2, s3_0_c2_c1_3		// APIBKey
	\do	32, s3_0_c2_c2_0, s3_0_c2_c2_1		// APDAKey
	\do	48, s3_0_c2_c2_2, s3_0_c2_c2_3		// APDBKey
	\do	64, s3_0_c2_c3_0, s3_0_c2_c3_1		// APGAKey
.endm

.balign 16
.global tantalum_save_system
tantalum_save_system:
	each_pair save_pair
	mrs	x1, csselr_el1
	str	x1, [x0, #176]
	ret

.balign 16
.global tantalum_load_system
tantalum_load_system:
	each_pair load_pair
	ldr	x1, [x0, #176]
	msr	csselr_el1, x1
	ret

.balign 16
.global tantalum_save_keys
tantalum_save_keys:
	each_key save_pair
	ret

.balign 16
.global tantalum_load_keys
tantalum_load_keys:
	each_key load_pair
	ret

// The only instructions of the image that touch the floating-point and SIMD registers.
.section .fp_text, "ax"
.arch_extension fp
.arch_extension simd

.balign 16
.global tantalum_save_fp
tantalum_save_fp:
	stp	q0, q1, [x0]
	stp	q2, q3, [x0, #32]
	stp	q4, q5, [x0, #64]
	stp	q6, q7, [x0, #96]
	stp	q8, q9, [x0, #128]
	stp	q10, q11, [x0, #160]
	stp	q12, q13, [x0, #192]
	stp	q14, q15, [x0, #224]
	stp	q16, q17, [x0, #256]
	stp	q18, q19, [x0, #288]
	stp	q20, q21, [x0, #320]
	stp	q22, q23, [x0, #352]
	stp	q24, q25, [x0, #384]
	stp	q26, q27, [x0, #416]
	stp	q28, q29, [x0, #448]
	stp	q30, q31, [x0, #480]
	mrs	x1, fpcr
	mrs	x2, fpsr
	str	x1, [x0, #512]
	str	x2, [x0, #520]
	ret

.balign 16
.global tantalum_load_fp
tantalum_load_fp:
	ldp	q0, q1, [x0]
	ldp	q2, q3, [x0, #32]
	ldp	q4, q5, [x0, #64]
	ldp	q6, q7, [x0, #96]
	ldp	q8, q9, [x0, #128]
	ldp	q10, q11, [x0, #160]
	ldp	q12, q13, [x0, #192]
	ldp	q14, q15, [x0, #224]
	ldp	q16, q17, [x0, #256]
	ldp	q18, q19, [x0, #288]
	ldp	q20, q21, [x0, #320]
	ldp	q22, q23, [x0, #352]
	ldp	q24, q25, [x0, #384]
	ldp	q26, q27, [x0, #416]
	ldp	q28, q29, [x0, #448]
	ldp	q30, q31, [x0, #480]
	ldr	x1, [x0, #512]
	ldr	x2, [x0, #520]
	msr	fpcr, x1
	msr	fpsr, x2
	ret

.arch_extension nosimd
.arch_extension nofp
.section .text.context, "ax"
