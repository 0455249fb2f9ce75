;; Float32 to 16 bits and back on one block, four values at a time. The float32 values begin at byte 1024 of the memory,
;; the 16-bit ones at byte 17408; `bytes` counts those of the float32 values and is a multiple of 16. Rounding is to
;; nearest, ties to even; a NaN stays one. The functions that narrow return 1 when a finite value became infinite.
;; Constants stand in locals: V8 would make them anew in each round.
(module
  (memory (export "memory") 1)

  (func (export "toFloat16") (param $bytes i32) (result i32)
    (local $at i32)
    (local $value v128)
    (local $magnitude v128)
    (local $half v128)
    (local $tooLarge v128)
    (local $allButSign v128)
    (local $one v128)
    (local $normalBias v128)
    (local $leastNormal v128)
    (local $oneHalf v128)
    (local $beyond v128)
    (local $largest v128)
    (local $infinity v128)
    (local $halfInfinity v128)
    (local $quiet v128)
    (local.set $allButSign (i32x4.splat (i32.const 0x7fffffff)))
    (local.set $one (i32x4.splat (i32.const 1)))
    (local.set $normalBias (i32x4.splat (i32.const 0x37fff001)))
    (local.set $leastNormal (f32x4.splat (f32.const 0x1p-14)))
    (local.set $oneHalf (f32x4.splat (f32.const 0.5)))
    (local.set $beyond (f32x4.splat (f32.const 65536)))
    (local.set $largest (f32x4.splat (f32.const 65520)))
    (local.set $infinity (f32x4.splat (f32.const inf)))
    (local.set $halfInfinity (i32x4.splat (i32.const 0x7c00)))
    (local.set $quiet (i32x4.splat (i32.const 0x0200)))
    (loop $next
      (local.set $value (v128.load offset=1024 (local.get $at)))
      (local.set $magnitude (v128.and (local.get $value) (local.get $allButSign)))
      ;; Normal numbers: the exponent loses 112; 0xfff, and 1 more where the last kept bit is odd, carry what rounds up.
      (local.set $half
        (i32x4.shr_u
          (i32x4.add
            (i32x4.sub (local.get $magnitude) (local.get $normalBias))
            (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (local.get $one)))
          (i32.const 13)))
      ;; Smaller ones: a float32 of 0.5 and more has the unit of float16's subnormal numbers, so adding 0.5 rounds.
      (local.set $half
        (v128.bitselect
          (i32x4.sub (f32x4.add (local.get $magnitude) (local.get $oneHalf)) (local.get $oneHalf))
          (local.get $half)
          (i32x4.lt_s (local.get $magnitude) (local.get $leastNormal))))
      ;; 65536 and more: infinity, or a quiet NaN.
      (local.set $half
        (v128.bitselect
          (v128.or
            (local.get $halfInfinity)
            (v128.and
              (local.get $quiet)
              (i32x4.gt_s (local.get $magnitude) (local.get $infinity))))
          (local.get $half)
          (i32x4.ge_s (local.get $magnitude) (local.get $beyond))))
      ;; What lies halfway between 65504 and 65536 is infinite already.
      (local.set $tooLarge
        (v128.or
          (local.get $tooLarge)
          (v128.and
            (i32x4.ge_s (local.get $magnitude) (local.get $largest))
            (i32x4.lt_s (local.get $magnitude) (local.get $infinity)))))
      ;; The sign goes to bit 15 and all above it: then the saturating narrowing keeps the low half as it is.
      (local.set $half
        (v128.or
          (local.get $half)
          (i32x4.shr_s (v128.andnot (local.get $value) (local.get $allButSign)) (i32.const 16))))
      (v128.store64_lane offset=17408 0
        (i32.shr_u (local.get $at) (i32.const 1))
        (i16x8.narrow_i32x4_s (local.get $half) (local.get $half)))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes))))
    (v128.any_true (local.get $tooLarge)))

  (func (export "fromFloat16") (param $bytes i32)
    (local $at i32)
    (local $half v128)
    (local $magnitude v128)
    (local $value v128)
    (local $allButSign v128)
    (local $bias v128)
    (local $halfLeastNormal v128)
    (local $leastNormal v128)
    (local $fraction v128)
    (local $largest v128)
    (local.set $allButSign (i32x4.splat (i32.const 0x7fff)))
    (local.set $bias (i32x4.splat (i32.const 0x38000000)))
    (local.set $halfLeastNormal (i32x4.splat (i32.const 0x0400)))
    (local.set $leastNormal (f32x4.splat (f32.const 0x1p-14)))
    (local.set $largest (i32x4.splat (i32.const 0x7bff)))
    (loop $next
      (local.set $half
        (v128.load16x4_u offset=17408 (i32.shr_u (local.get $at) (i32.const 1))))
      (local.set $magnitude (v128.and (local.get $half) (local.get $allButSign)))
      (local.set $fraction (i32x4.shl (local.get $magnitude) (i32.const 13)))
      ;; Normal numbers: the exponent gains 112. Subnormal ones: the fraction of a number from 2^-14 on, less 2^-14.
      (local.set $value
        (v128.bitselect
          (f32x4.sub
            (v128.or (local.get $fraction) (local.get $leastNormal))
            (local.get $leastNormal))
          (i32x4.add (local.get $fraction) (local.get $bias))
          (i32x4.lt_s (local.get $magnitude) (local.get $halfLeastNormal))))
      ;; Infinity and NaN: the exponent gains another 112.
      (local.set $value
        (i32x4.add
          (local.get $value)
          (v128.and
            (local.get $bias)
            (i32x4.gt_s (local.get $magnitude) (local.get $largest)))))
      (v128.store offset=1024 (local.get $at)
        (v128.or
          (local.get $value)
          (i32x4.shl (v128.andnot (local.get $half) (local.get $allButSign)) (i32.const 16))))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes)))))

  (func (export "toBfloat16") (param $bytes i32) (result i32)
    (local $at i32)
    (local $value v128)
    (local $magnitude v128)
    (local $tooLarge v128)
    (local $allButSign v128)
    (local $one v128)
    (local $almostHalf v128)
    (local $largest v128)
    (local $infinity v128)
    (local $quiet v128)
    (local.set $allButSign (i32x4.splat (i32.const 0x7fffffff)))
    (local.set $one (i32x4.splat (i32.const 1)))
    (local.set $almostHalf (i32x4.splat (i32.const 0x7fff)))
    (local.set $largest (i32x4.splat (i32.const 0x7f7f8000)))
    (local.set $infinity (f32x4.splat (f32.const inf)))
    (local.set $quiet (i32x4.splat (i32.const 0x00400000)))
    (loop $next
      (local.set $value (v128.load offset=1024 (local.get $at)))
      (local.set $magnitude (v128.and (local.get $value) (local.get $allButSign)))
      ;; What lies halfway between the largest bfloat16 and the next one, if there were any, is infinite already.
      (local.set $tooLarge
        (v128.or
          (local.get $tooLarge)
          (v128.and
            (i32x4.ge_s (local.get $magnitude) (local.get $largest))
            (i32x4.lt_s (local.get $magnitude) (local.get $infinity)))))
      ;; 0x7fff, and 1 more where the last kept bit is odd, carry what rounds up; a NaN gets quiet instead.
      (local.set $value
        (v128.bitselect
          (v128.or (local.get $value) (local.get $quiet))
          (i32x4.add
            (i32x4.add (local.get $value) (local.get $almostHalf))
            (v128.and (i32x4.shr_u (local.get $value) (i32.const 16)) (local.get $one)))
          (i32x4.gt_s (local.get $magnitude) (local.get $infinity))))
      (local.set $value (i32x4.shr_s (local.get $value) (i32.const 16)))
      (v128.store64_lane offset=17408 0
        (i32.shr_u (local.get $at) (i32.const 1))
        (i16x8.narrow_i32x4_s (local.get $value) (local.get $value)))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes))))
    (v128.any_true (local.get $tooLarge)))

  (func (export "fromBfloat16") (param $bytes i32)
    (local $at i32)
    (loop $next
      (v128.store offset=1024 (local.get $at)
        (i32x4.shl
          (v128.load16x4_u offset=17408 (i32.shr_u (local.get $at) (i32.const 1)))
          (i32.const 16)))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes))))))
