import ca.uhn.hl7v2.AcknowledgmentCode;
import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.ErrorCode;
import ca.uhn.hl7v2.HL7Exception;
import ca.uhn.hl7v2.app.HL7Service;
import ca.uhn.hl7v2.llp.MinLowerLayerProtocol;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.parser.UnexpectedSegmentBehaviourEnum;
import ca.uhn.hl7v2.protocol.ReceivingApplication;
import ca.uhn.hl7v2.util.Terser;
import ca.uhn.hl7v2.util.idgenerator.InMemoryIDGenerator;
import ca.uhn.hl7v2.validation.impl.ValidationContextFactory;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A receiver of ADT^A31 and ADT^A28 built of HAPI alone: its MLLP, its character sets by MSH-18, its parser and
 * validation, its acknowledgements. What it understood goes to standard output, a line a message; it ends with standard
 * input. Given names tell it to refuse.
 */
public class Receiver {
  static final String[] FIELDS = {
    "/MSH-10", "/MSH-9-2", "/MSH-12", "/MSH-18", "/EVN-6", "/PV1-2",
    "/PID-3(0)-1", "/PID-3(0)-4", "/PID-3(0)-5", "/PID-3(1)-1", "/PID-3(1)-4", "/PID-3(1)-5",
    "/PID-5-1", "/PID-5-2", "/PID-5-3", "/PID-7",
    "/PID-11(0)-1", "/PID-11(0)-2", "/PID-11(0)-3", "/PID-11(0)-5", "/PID-11(0)-6", "/PID-11(0)-7", "/PID-11(0)-13",
    "/PID-11(0)-14",
    "/PID-11(1)-1", "/PID-11(1)-2", "/PID-11(1)-3", "/PID-11(1)-5", "/PID-11(1)-14"
  };
  static final Map<String, ErrorCode> REFUSED =
      Map.of(
          "Anghyflawn", ErrorCode.REQUIRED_FIELD_MISSING,
          "Anhysbys", ErrorCode.UNKNOWN_KEY_IDENTIFIER,
          "Cloedig", ErrorCode.APPLICATION_RECORD_LOCKED,
          "Gwall", ErrorCode.APPLICATION_INTERNAL_ERROR);

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    DefaultHapiContext context = new DefaultHapiContext(ValidationContextFactory.defaultValidation());
    context.getParserConfiguration().setUnexpectedSegmentBehaviour(UnexpectedSegmentBehaviourEnum.THROW_HL7_EXCEPTION);
    context.getParserConfiguration().setIdGenerator(new InMemoryIDGenerator()); // the default leaves a file behind
    context.setLowerLayerProtocol(new MinLowerLayerProtocol(true));
    HL7Service server = context.newServer(Integer.parseInt(arguments[0]), false);
    ReceivingApplication<Message> application =
        new ReceivingApplication<>() {
          @Override
          public Message processMessage(Message message, Map<String, Object> metadata) {
            try {
              Terser terser = new Terser(message);
              ErrorCode refused = REFUSED.get(String.valueOf(terser.get("/PID-5-2")));
              if (refused != null) {
                return message.generateACK(AcknowledgmentCode.AE, new HL7Exception("refused", refused));
              }
              List<String> told = new ArrayList<>();
              told.add(message.getClass().getName());
              for (String field : FIELDS) {
                String value = terser.get(field);
                told.add(value == null ? "" : value);
              }
              synchronized (out) {
                out.print(String.join("\u001f", told) + "\n");
                out.flush();
              }
              return message.generateACK();
            } catch (Exception fault) {
              throw new IllegalStateException(fault);
            }
          }

          @Override
          public boolean canProcess(Message message) {
            return true;
          }
        };
    server.registerApplication("ADT", "A31", application);
    server.registerApplication("ADT", "A28", application);
    server.startAndWait();
    if (server.getServiceExitedWithException() != null) {
      throw new IllegalStateException(server.getServiceExitedWithException());
    }
    out.print("ready\n");
    out.flush();
    while (System.in.read() != -1) {}
    System.exit(0);
  }
}
