// The image's entry points. See boot.rs for what they expect and what they promise.
//
// Before the MMU is on, data accesses go past the caches. Two things follow. What is written here and read later
// through the caches has to be dropped from them first, in case they hold older contents of the same memory. And
// what is written later through the caches and read here, on another processing element, has to be cleaned to
// memory: that is the one word `booted`.

// Loads a constant of up to 64 bits.
.macro load register, value
	movz	\register, :abs_g3:\value
	movk	\register, :abs_g2_nc:\value
	movk	\register, :abs_g1_nc:\value
	movk	\register, :abs_g0_nc:\value
.endm

.section .data.booted, "aw"
.balign 64
// 0 until the first processing element has built what the others need. Alone in its cache line.
booted:
	.quad	0
.balign 64

.section .text.entry, "ax"
.global _start
_start:
	// TF-A uses this entry for the others too, until told of the one below.
	adrp	x9, booted
	ldr	x9, [x9, :lo12:booted]
	cbnz	x9, tantalum_warm_entry

	mov	x19, x0
	bl	tantalum_cpu_index
	cmp	x0, #{MAX_CPUS}
	b.hs	refuse
	mov	x20, x0
	bl	select_stack

	adrp	x0, {TABLES}
	add	x0, x0, :lo12:{TABLES}
	load	x1, {TABLES_SIZE}
	bl	zero
	bl	tantalum_early_map
	tbz	w0, #0, refuse

	// What was written so far: the tables, and the top of this stack.
	adrp	x0, {TABLES}
	add	x0, x0, :lo12:{TABLES}
	load	x1, {TABLES_SIZE}
	bl	drop_from_cache
	mov	x0, sp
	load	x1, {STACK_SIZE}
	sub	x0, x0, x1
	bl	drop_from_cache
	bl	enable_mmu

	adrp	x0, __bss_start
	add	x0, x0, :lo12:__bss_start
	adrp	x1, __bss_end
	add	x1, x1, :lo12:__bss_end
	sub	x1, x1, x0
	bl	zero

	adrp	x9, booted
	add	x9, x9, :lo12:booted
	mov	x10, #1
	str	x10, [x9]
	dc	cvac, x9
	dsb	sy

	mov	x0, x19
	mov	x1, x20
	bl	tantalum_cold_main
	brk	#0

// Where a processing element comes that was turned on: for the first time, with the MMU off, or again, with the
// system registers as they were when it was turned off.
.balign 4
.global tantalum_warm_entry
tantalum_warm_entry:
	bl	tantalum_cpu_index
	cmp	x0, #{MAX_CPUS}
	b.hs	refuse
	mov	x20, x0
	bl	select_stack
	bl	enable_mmu
	mov	x0, x20
	bl	tantalum_warm_main
	brk	#0

// Sets the stack pointer to the top of stack x0. Changes x0, x9 and x10.
select_stack:
	msr	daifset, #0xf
	msr	spsel, #1
	adrp	x9, {STACKS}
	mov	x10, #{STACK_STRIDE}
	madd	x9, x0, x10, x9
	add	sp, x9, x10
	ret

// Turns the MMU and the caches on. Changes x9 to x11.
enable_mmu:
	load	x9, {MAIR}
	msr	mair_el2, x9
	load	x9, {TCR}
	// The physical address size, at most 48 bits, which is what the 4 KiB granule has without FEAT_LPA2.
	mrs	x10, id_aa64mmfr0_el1
	and	x10, x10, #0xf
	mov	x11, #5
	cmp	x10, x11
	csel	x10, x10, x11, lo
	orr	x9, x9, x10, lsl #16
	msr	tcr_el2, x9
	adrp	x9, {TABLES}
	msr	ttbr0_el2, x9
	adrp	x9, tantalum_vectors
	add	x9, x9, :lo12:tantalum_vectors
	msr	vbar_el2, x9
	isb
	tlbi	alle2
	ic	iallu
	dsb	nsh
	isb
	load	x9, {SCTLR}
	msr	sctlr_el2, x9
	isb
	ret

// Writes zero to x1 bytes at x0, both multiples of 16. Changes x0 and x1.
zero:
	cbz	x1, 2f
1:	stp	xzr, xzr, [x0], #16
	subs	x1, x1, #16
	b.ne	1b
2:	ret

// Drops x1 bytes at x0 from the data cache, so that memory counts. Changes x0, x1, x9 and x10.
drop_from_cache:
	dsb	sy
	mrs	x9, ctr_el0
	ubfx	x9, x9, #16, #4
	mov	x10, #4
	lsl	x9, x10, x9
	add	x1, x1, x0
1:	dc	ivac, x0
	add	x0, x0, x9
	cmp	x0, x1
	b.lo	1b
	dsb	sy
	ret

// Tells EL3 that the hypervisor cannot run here, in the way of its world, and stays out of the way if it is sent back.
refuse:
	load	x0, tantalum_refusal
	mov	x1, #0
	mov	x2, #-1
	smc	#0
1:	wfe
	b	1b
