/**
 * The part of TensorFlow's C API that the engine binds (tensorflow/c/c_api.h, tensorflow/c/eager/c_api.h,
 * tensorflow/c/tf_tensor.h, tensorflow/c/tf_tstring.h).
 *
 * @module
 */

/** Pointer to an object of the library. */
const P = "pointer" as const;
/** Memory of JavaScript: a C string, or an array that the library reads or fills during the call. */
const B = "buffer" as const;
/** `TF_Output { TF_Operation* oper; int index; }`, passed by value. */
const OUTPUT = { struct: ["pointer", "i32"] } as const;

/** Symbols of libtensorflow, with the C names of their parameters. */
export const SYMBOLS = {
  TF_Version: { parameters: [], result: P },
  /** The address of a function that may be called with any arguments and changes nothing. */
  doNothing: { name: "TF_Version", type: "pointer" },

  // TF_Status
  TF_NewStatus: { parameters: [], result: P },
  TF_DeleteStatus: { parameters: [P /* s */], result: "void" },
  TF_GetCode: { parameters: [P /* s */], result: "i32" },
  TF_Message: { parameters: [P /* s */], result: P },

  // TF_Buffer
  TF_NewBuffer: { parameters: [], result: P },
  TF_NewBufferFromString: { parameters: [B, /* proto */ "usize" /* proto_len */], result: P },
  TF_DeleteBuffer: { parameters: [P /* buffer */], result: "void" },

  // Context and devices
  TFE_NewContextOptions: { parameters: [], result: P },
  TFE_DeleteContextOptions: { parameters: [P /* options */], result: "void" },
  TFE_ContextOptionsSetConfig: {
    parameters: [P, /* options */ B, /* proto */ "usize", /* proto_len */ P /* status */],
    result: "void",
  },
  TFE_NewContext: { parameters: [P, /* opts */ P /* status */], result: P },
  TFE_ContextListDevices: { parameters: [P, /* ctx */ P /* status */], result: P },
  TF_DeleteDeviceList: { parameters: [P /* list */], result: "void" },
  TF_DeviceListCount: { parameters: [P /* list */], result: "i32" },
  TF_DeviceListName: { parameters: [P, /* list */ "i32", /* index */ P /* status */], result: P },
  TF_DeviceListType: { parameters: [P, /* list */ "i32", /* index */ P /* status */], result: P },
  TFE_ContextAddFunction: {
    parameters: [P, /* ctx */ P, /* function */ P /* status */],
    result: "void",
  },
  TFE_ContextRemoveFunction: {
    parameters: [P, /* ctx */ B, /* name */ P /* status */],
    result: "void",
  },

  // Tensors
  TF_AllocateTensor: {
    parameters: ["i32", /* dtype */ B, /* dims */ "i32", /* num_dims */ "usize" /* len */],
    result: P,
  },
  /** A tensor in memory that is there already; copied when it isn't aligned to 64 bytes. */
  TF_NewTensor: {
    parameters: [
      "i32", /* dtype */
      B, /* dims */
      "i32", /* num_dims */
      B, /* data */
      "usize", /* len */
      P, /* deallocator */
      P, /* deallocator_arg */
    ],
    result: P,
  },
  TF_DeleteTensor: { parameters: [P /* tensor */], result: "void" },
  TF_TensorData: { parameters: [P /* tensor */], result: P },
  TF_TensorByteSize: { parameters: [P /* tensor */], result: "usize" },
  TF_StringInit: { parameters: [P /* t */], result: "void" },
  /** Looks at the bytes without a copy. */
  TF_StringAssignView: {
    parameters: [P, /* dst */ B, /* src */ "usize" /* size */],
    result: "void",
  },
  TF_StringGetDataPointer: { parameters: [P /* tstr */], result: P },
  TF_StringGetSize: { parameters: [P /* tstr */], result: "usize" },

  // Handles
  TFE_NewTensorHandle: { parameters: [P, /* t */ P /* status */], result: P },
  /** A tensor in memory of a device that is there already. */
  TFE_NewTensorHandleFromDeviceMemory: {
    parameters: [
      P, /* ctx */
      B, /* device_name */
      "i32", /* dtype */
      B, /* dims */
      "i32", /* num_dims */
      "u64", /* data, an address of the device */
      "usize", /* len */
      P, /* deallocator */
      P, /* deallocator_arg */
      P, /* status */
    ],
    result: P,
  },
  TFE_DeleteTensorHandle: { parameters: [P /* h */], result: "void" },
  TFE_TensorHandleResolve: { parameters: [P, /* h */ P /* status */], result: P },
  /** The same call on another thread: on a GPU it waits for all that TensorFlow was given before. */
  TFE_TensorHandleResolve_nonblocking: {
    name: "TFE_TensorHandleResolve",
    parameters: [P, /* h */ P /* status */],
    result: P,
    nonblocking: true,
  },
  TFE_TensorHandleDataType: { parameters: [P /* h */], result: "i32" },
  TFE_TensorHandleNumDims: { parameters: [P, /* h */ P /* status */], result: "i32" },
  TFE_TensorHandleDim: {
    parameters: [P, /* h */ "i32", /* dim_index */ P /* status */],
    result: "i64",
  },
  TFE_TensorHandleCopySharingTensor: { parameters: [P, /* h */ P /* status */], result: P },

  // Eager ops
  TFE_NewOp: { parameters: [P, /* ctx */ B, /* op_or_function_name */ P /* status */], result: P },
  TFE_DeleteOp: { parameters: [P /* op */], result: "void" },
  TFE_OpAddInput: { parameters: [P, /* op */ P, /* input */ P /* status */], result: "void" },
  TFE_OpSetDevice: {
    parameters: [P, /* op */ B, /* device_name */ P /* status */],
    result: "void",
  },
  TFE_Execute: {
    parameters: [P, /* op */ B, /* retvals */ B, /* num_retvals */ P /* status */],
    result: "void",
  },
  /** The same call on another thread: JavaScript goes on while TensorFlow works. */
  TFE_Execute_nonblocking: {
    name: "TFE_Execute",
    parameters: [P, /* op */ B, /* retvals */ B, /* num_retvals */ P /* status */],
    result: "void",
    nonblocking: true,
  },
  TFE_OpSetAttrString: {
    parameters: [P, /* op */ B, /* attr_name */ B, /* value */ "usize" /* length */],
    result: "void",
  },
  TFE_OpSetAttrInt: { parameters: [P, /* op */ B, /* attr_name */ "i64"], result: "void" },
  TFE_OpSetAttrFloat: { parameters: [P, /* op */ B, /* attr_name */ "f32"], result: "void" },
  TFE_OpSetAttrBool: { parameters: [P, /* op */ B, /* attr_name */ "u8"], result: "void" },
  TFE_OpSetAttrType: { parameters: [P, /* op */ B, /* attr_name */ "i32"], result: "void" },
  TFE_OpSetAttrShape: {
    parameters: [P, /* op */ B, /* attr_name */ B, /* dims */ "i32", /* num_dims */ P /* status */],
    result: "void",
  },
  TFE_OpSetAttrIntList: {
    parameters: [P, /* op */ B, /* attr_name */ B, /* values */ "i32" /* num_values */],
    result: "void",
  },
  TFE_OpSetAttrFloatList: {
    parameters: [P, /* op */ B, /* attr_name */ B, /* values */ "i32" /* num_values */],
    result: "void",
  },
  TFE_OpSetAttrTypeList: {
    parameters: [P, /* op */ B, /* attr_name */ B, /* values */ "i32" /* num_values */],
    result: "void",
  },

  // Graphs and functions
  TF_NewGraph: { parameters: [], result: P },
  TF_DeleteGraph: { parameters: [P /* graph */], result: "void" },
  TF_GraphGetOpDef: {
    parameters: [P, /* graph */ B, /* op_name */ P, /* output_op_def */ P /* status */],
    result: "void",
  },
  TF_NewOperation: { parameters: [P, /* graph */ B, /* op_type */ B /* oper_name */], result: P },
  TF_FinishOperation: { parameters: [P, /* desc */ P /* status */], result: P },
  TF_AddInput: { parameters: [P, /* desc */ OUTPUT /* input */], result: "void" },
  TF_AddInputList: {
    parameters: [P, /* desc */ B, /* inputs */ "i32" /* num_inputs */],
    result: "void",
  },
  TF_SetAttrType: { parameters: [P, /* desc */ B, /* attr_name */ "i32"], result: "void" },
  TF_SetAttrTensor: {
    parameters: [P, /* desc */ B, /* attr_name */ P, /* value */ P /* status */],
    result: "void",
  },
  TF_SetAttrString: {
    parameters: [P, /* desc */ B, /* attr_name */ B, /* value */ "usize" /* length */],
    result: "void",
  },
  TF_SetAttrInt: { parameters: [P, /* desc */ B, /* attr_name */ "i64"], result: "void" },
  TF_SetAttrFloat: { parameters: [P, /* desc */ B, /* attr_name */ "f32"], result: "void" },
  TF_SetAttrBool: { parameters: [P, /* desc */ B, /* attr_name */ "u8"], result: "void" },
  TF_SetAttrShape: {
    parameters: [P, /* desc */ B, /* attr_name */ B, /* dims */ "i32" /* num_dims */],
    result: "void",
  },
  TF_SetAttrIntList: {
    parameters: [P, /* desc */ B, /* attr_name */ B, /* values */ "i32" /* num_values */],
    result: "void",
  },
  TF_SetAttrFloatList: {
    parameters: [P, /* desc */ B, /* attr_name */ B, /* values */ "i32" /* num_values */],
    result: "void",
  },
  TF_SetAttrTypeList: {
    parameters: [P, /* desc */ B, /* attr_name */ B, /* values */ "i32" /* num_values */],
    result: "void",
  },
  TF_OperationNumOutputs: { parameters: [P /* oper */], result: "i32" },
  TF_OperationOutputType: { parameters: [OUTPUT /* oper_out */], result: "i32" },
  TF_GraphGetTensorNumDims: {
    parameters: [P, /* graph */ OUTPUT, /* output */ P /* status */],
    result: "i32",
  },
  TF_GraphGetTensorShape: {
    parameters: [
      P, /* graph */
      OUTPUT, /* output */
      B, /* dims */
      "i32", /* num_dims */
      P, /* status */
    ],
    result: "void",
  },
  TF_GraphToFunction: {
    parameters: [
      P, /* fn_body */
      B, /* fn_name */
      "u8", /* append_hash_to_fn_name */
      "i32", /* num_opers, -1: all */
      B, /* opers */
      "i32", /* ninputs */
      B, /* inputs */
      "i32", /* noutputs */
      B, /* outputs */
      P, /* output_names */
      P, /* opts */
      P, /* description */
      P, /* status */
    ],
    result: P,
  },
  TF_DeleteFunction: { parameters: [P /* func */], result: "void" },

  // Sessions
  TF_NewSessionOptions: { parameters: [], result: P },
  TF_DeleteSessionOptions: { parameters: [P /* opts */], result: "void" },
  TF_SetConfig: {
    parameters: [P, /* options */ B, /* proto */ "usize", /* proto_len */ P /* status */],
    result: "void",
  },
  TF_NewSession: { parameters: [P, /* graph */ P, /* opts */ P /* status */], result: P },
  TF_CloseSession: { parameters: [P, /* session */ P /* status */], result: "void" },
  TF_DeleteSession: { parameters: [P, /* session */ P /* status */], result: "void" },
  /** Always on another thread. */
  TF_SessionRun_nonblocking: {
    name: "TF_SessionRun",
    parameters: [
      P, /* session */
      P, /* run_options */
      B, /* inputs */
      B, /* input_values */
      "i32", /* ninputs */
      B, /* outputs */
      B, /* output_values */
      "i32", /* noutputs */
      P, /* target_opers */
      "i32", /* ntargets */
      P, /* run_metadata */
      P, /* status */
    ],
    result: "void",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/**
 * Functions of the framework library that the C API lacks, under the names that the pinned release gives them. Another
 * release may lack them: then it says more on stderr, and counts as a build without CUDA.
 */
export const FRAMEWORK_SYMBOLS = {
  /** `absl::SetMinLogLevel`. */
  SetMinLogLevel: {
    name: "_ZN4absl12lts_2025081414SetMinLogLevelENS0_18LogSeverityAtLeastE",
    parameters: ["i32" /* severity */],
    result: "void",
    optional: true,
  },
  /** `tensorflow::IsGoogleCudaEnabled`. */
  IsGoogleCudaEnabled: {
    name: "_ZN10tensorflow19IsGoogleCudaEnabledEv",
    parameters: [],
    result: "u8",
    optional: true,
  },
  /** `tsl::enable_tensor_float_32_execution`. */
  enableTensorFloat32: {
    name: "_ZN3tsl32enable_tensor_float_32_executionEb",
    parameters: ["u8" /* enabled */],
    result: "void",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The opened library's functions. */
export type LibTensorflow = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
