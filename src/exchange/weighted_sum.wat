;; The arithmetic of the all-reduce on one block, four or eight floats at a time. The sum begins at byte 1024 of the
;; memory, the vector at byte 33792; a block's bytes are a multiple of 32. Products and sums are rounded to float32 one
;; by one: there is no fused multiply-add in it. Both functions return 1 when some float of the sum is NaN or infinite:
;; when its exponent has all bits set. Constants stand in locals: V8 would make them anew in each round.
(module
  (memory (export "memory") 2)

  ;; sum = weight * sum
  (func (export "scale") (param $bytes i32) (param $weight f32) (result i32)
    (local $at i32)
    (local $value v128)
    (local $bad v128)
    (local $weights v128)
    (local $exponent v128)
    (local.set $weights (f32x4.splat (local.get $weight)))
    (local.set $exponent (i32x4.splat (i32.const 0x7f800000)))
    (loop $next
      (local.set $value
        (f32x4.mul (local.get $weights) (v128.load offset=1024 (local.get $at))))
      (v128.store offset=1024 (local.get $at) (local.get $value))
      (local.set $bad (v128.or (local.get $bad)
        (i32x4.eq (v128.and (local.get $value) (local.get $exponent)) (local.get $exponent))))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes))))
    (v128.any_true (local.get $bad)))

  ;; sum = kept * sum + weight * vector
  (func (export "combine") (param $bytes i32) (param $kept f32) (param $weight f32) (result i32)
    (local $at i32)
    (local $value v128)
    (local $second v128)
    (local $bad v128)
    (local $kepts v128)
    (local $weights v128)
    (local $exponent v128)
    (local.set $kepts (f32x4.splat (local.get $kept)))
    (local.set $weights (f32x4.splat (local.get $weight)))
    (local.set $exponent (i32x4.splat (i32.const 0x7f800000)))
    (loop $next
      (local.set $value
        (f32x4.add
          (f32x4.mul (local.get $kepts) (v128.load offset=1024 (local.get $at)))
          (f32x4.mul (local.get $weights) (v128.load offset=33792 (local.get $at)))))
      (local.set $second
        (f32x4.add
          (f32x4.mul (local.get $kepts) (v128.load offset=1040 (local.get $at)))
          (f32x4.mul (local.get $weights) (v128.load offset=33808 (local.get $at)))))
      (v128.store offset=1024 (local.get $at) (local.get $value))
      (v128.store offset=1040 (local.get $at) (local.get $second))
      (local.set $bad (v128.or (local.get $bad)
        (v128.or
          (i32x4.eq (v128.and (local.get $value) (local.get $exponent)) (local.get $exponent))
          (i32x4.eq (v128.and (local.get $second) (local.get $exponent)) (local.get $exponent)))))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 32)))
        (local.get $bytes))))
    (v128.any_true (local.get $bad))))
