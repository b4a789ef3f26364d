/** `GET /v1/models` (wire-api section 5.6): what is known of a model. Passed through from the upstream. */

/** Whether something is supported. */
interface CapabilitySupport {
  supported: boolean;
}

/** What a model can do. */
interface ModelCapabilities {
  batch: CapabilitySupport;
  citations: CapabilitySupport;
  code_execution: CapabilitySupport;
  context_management: CapabilitySupport & {
    clear_thinking_20251015: CapabilitySupport | null;
    clear_tool_uses_20250919: CapabilitySupport | null;
    compact_20260112: CapabilitySupport | null;
  };
  effort: CapabilitySupport & {
    low: CapabilitySupport;
    medium: CapabilitySupport;
    high: CapabilitySupport;
    xhigh: CapabilitySupport | null;
    max: CapabilitySupport;
  };
  image_input: CapabilitySupport;
  pdf_input: CapabilitySupport;
  server_tools: CapabilitySupport & { code_execution: CapabilitySupport; web_search: CapabilitySupport };
  structured_outputs: CapabilitySupport;
  thinking: CapabilitySupport & {
    types: Record<'adaptive' | 'between_tools' | 'disabled' | 'enabled', CapabilitySupport>;
  };
}

/** The stages of a model's life. */
export const LIFECYCLES = ['active', 'deprecated', 'retired'] as const;

/** A model that the server can route to. */
export interface ModelInfo {
  id: string;
  type: 'model';
  display_name: string;
  created_at: string;
  capabilities: ModelCapabilities | null;
  lifecycle: (typeof LIFECYCLES)[number];
  line: 'haiku' | 'sonnet' | 'opus' | 'fable' | 'mythos' | null;
  deprecated_at: string | null;
  retires_at: string | null;
  max_input_tokens: number | null;
  max_tokens: number | null;
}
