// The image's entry points. See machine.rs for what is called from here.
//
// Before the MMU is on, data accesses go past the caches, so what is written then has to be dropped from them
// before it is read through them: they may hold older contents of the same memory.

.section .text.entry, "ax"

// The first instruction of the image: the first execution context begins here. x0 is the boot information.
.global _start
_start:
	mov	x19, x0
	bl	select_stack

	// Where the image is linked at 0, the address of its beginning is what every address has to grow by.
	adrp	x20, __image_start
	adrp	x9, __rela_start
	add	x9, x9, :lo12:__rela_start
	adrp	x10, __rela_end
	add	x10, x10, :lo12:__rela_end
1:	cmp	x9, x10
	b.hs	3f
	ldp	x11, x12, [x9], #16		// offset, kind
	ldr	x13, [x9], #8			// addend
	cmp	x12, #1027			// R_AARCH64_RELATIVE
	b.ne	fail
	add	x13, x13, x20
	str	x13, [x11, x20]
	b	1b

3:	adrp	x0, {TABLES}
	add	x0, x0, :lo12:{TABLES}
	mov	x1, #{TABLES_SIZE}
	bl	zero
	mov	x0, x19
	bl	{EARLY_MAP}
	tbz	w0, #0, fail

	// What was written so far: the relocated addresses, the tables, and the top of this stack.
	adrp	x0, __rodata_start
	adrp	x1, __image_end
	bl	drop_from_cache
	bl	enable_mmu

	adrp	x0, __bss_start
	adrp	x1, __bss_end
	sub	x1, x1, x0
	bl	zero

	mov	x0, x19
	bl	{MAIN}
	b	fail

// Where every other execution context begins, and each one again after its processing element was off.
.global tantalum_sdk_secondary_entry
tantalum_sdk_secondary_entry:
	bl	select_stack
	bl	enable_mmu
	bl	{SECONDARY_MAIN}
	b	fail

// Sets the stack pointer to the top of this execution context's stack. Changes x9 to x11.
select_stack:
	msr	daifset, #0xf
	msr	spsel, #1
	mrs	x9, mpidr_el1
	and	x9, x9, #0xff
	cmp	x9, #{MAX_VCPUS}
	b.hs	fail
	adrp	x10, __stacks_start
	mov	x11, #{STACK_STRIDE}
	madd	x10, x9, x11, x10
	add	sp, x10, x11
	ret

// Turns the MMU and the caches on. Changes x9 to x11.
enable_mmu:
	ldr	x9, ={MAIR}
	msr	mair_el1, x9
	ldr	x9, ={TCR}
	// The physical address size, at most 48 bits, which is what the 4 KiB granule has without FEAT_LPA2.
	mrs	x10, id_aa64mmfr0_el1
	and	x10, x10, #0xf
	mov	x11, #5
	cmp	x10, x11
	csel	x10, x10, x11, lo
	orr	x9, x9, x10, lsl #32
	msr	tcr_el1, x9
	adrp	x9, {TABLES}
	msr	ttbr0_el1, x9
	adrp	x9, vectors
	add	x9, x9, :lo12:vectors
	msr	vbar_el1, x9
	isb
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	ldr	x9, ={SCTLR}
	msr	sctlr_el1, x9
	isb
	ret

// Writes zero to x1 bytes at x0, both multiples of 16. Changes x0 and x1.
zero:
	cbz	x1, 2f
1:	stp	xzr, xzr, [x0], #16
	subs	x1, x1, #16
	b.ne	1b
2:	ret

// Drops the bytes from x0 to x1 from the data cache, so that memory counts. Changes x0, x9 and x10.
drop_from_cache:
	dsb	sy
	mrs	x9, ctr_el0
	ubfx	x9, x9, #16, #4
	mov	x10, #4
	lsl	x9, x10, x9
1:	dc	ivac, x0
	add	x0, x0, x9
	cmp	x0, x1
	b.lo	1b
	dsb	sy
	ret

// Ends the partition. FFA_ERROR with ABORTED says so as long as it initialises itself. Later there is no call
// for it, but reading an address that is not the partition's has the same effect; it must not be one that
// only its own translation refuses, so that is off first.
.global tantalum_sdk_abort
tantalum_sdk_abort:
fail:
	movz	x0, #0x60
	movk	x0, #0x8400, lsl #16
	mov	x1, #0
	mov	x2, #-8
	mov	x3, #0
	mov	x4, #0
	mov	x5, #0
	mov	x6, #0
	mov	x7, #0
	smc	#0
	msr	daifset, #0xf
	mrs	x9, sctlr_el1
	bic	x9, x9, #1
	msr	sctlr_el1, x9
	isb
1:	mov	x9, #0
	ldr	x9, [x9]
	b	1b

// Loads x0 to x17 from where x30 points, and stores them there.
.macro load_call
	ldp	x0, x1, [x30]
	ldp	x2, x3, [x30, #16]
	ldp	x4, x5, [x30, #32]
	ldp	x6, x7, [x30, #48]
	ldp	x8, x9, [x30, #64]
	ldp	x10, x11, [x30, #80]
	ldp	x12, x13, [x30, #96]
	ldp	x14, x15, [x30, #112]
	ldp	x16, x17, [x30, #128]
.endm

.macro store_call
	stp	x0, x1, [x30]
	stp	x2, x3, [x30, #16]
	stp	x4, x5, [x30, #32]
	stp	x6, x7, [x30, #48]
	stp	x8, x9, [x30, #64]
	stp	x10, x11, [x30, #80]
	stp	x12, x13, [x30, #96]
	stp	x14, x15, [x30, #112]
	stp	x16, x17, [x30, #128]
.endm

// Makes a call: x0 points at x0 to x17, which become those of the answer. An SMC preserves the others.
.global tantalum_sdk_smc
tantalum_sdk_smc:
	stp	x30, x0, [sp, #-16]!
	mov	x30, x0
	load_call
	smc	#0
	ldr	x30, [sp, #8]
	store_call
	ldr	x30, [sp], #16
	ret

// An interrupt is handled where it comes, on the stack of what it interrupts, and ends there. Every other exception
// is reported and ends the partition, on a fresh stack, since the old one may be what is wrong.
.macro vector number
	.balign 0x80
	mov	x0, #\number
	b	exception
.endm

.macro interrupt line
	.balign 0x80
	sub	sp, sp, #192
	stp	x0, x1, [sp]
	mov	x0, #\line
	b	interrupt
.endm

.balign 0x800
vectors:
.irp number, 0, 1, 2, 3, 4
	vector	\number
.endr
	interrupt 0			// current EL with SP_EL1: IRQ
	interrupt 1			// and FIQ
.irp number, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vector	\number
.endr

exception:
	bl	select_stack
	mrs	x1, esr_el1
	mrs	x2, elr_el1
	mrs	x3, far_el1
	bl	{EXCEPTION}
	b	fail

// The processing element masks interrupts until the ERET, so ELR_EL1 and SPSR_EL1 would keep; they are saved so that a
// fault in the handler does not hide where it came from. Floating point is not used.
interrupt:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x30, [sp, #144]
	mrs	x1, elr_el1
	mrs	x2, spsr_el1
	stp	x1, x2, [sp, #160]
	str	x29, [sp, #176]
	bl	{INTERRUPT}
	ldr	x29, [sp, #176]
	ldp	x1, x2, [sp, #160]
	msr	elr_el1, x1
	msr	spsr_el1, x2
	ldp	x18, x30, [sp, #144]
	ldp	x16, x17, [sp, #128]
	ldp	x14, x15, [sp, #112]
	ldp	x12, x13, [sp, #96]
	ldp	x10, x11, [sp, #80]
	ldp	x8, x9, [sp, #64]
	ldp	x6, x7, [sp, #48]
	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #192
	eret
