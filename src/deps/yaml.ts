/**
 * YAML: npm's `yaml`, whose `parse` and `stringify` take what `@std/yaml`'s take.
 *
 * @module
 */
export * from "npm:yaml@2.9.1";
