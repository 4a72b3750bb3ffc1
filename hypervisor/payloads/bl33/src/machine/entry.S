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
