import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.annotation.Create;
import ca.uhn.fhir.rest.annotation.IdParam;
import ca.uhn.fhir.rest.annotation.OptionalParam;
import ca.uhn.fhir.rest.annotation.Patch;
import ca.uhn.fhir.rest.annotation.Read;
import ca.uhn.fhir.rest.annotation.ResourceParam;
import ca.uhn.fhir.rest.annotation.Search;
import ca.uhn.fhir.rest.annotation.Transaction;
import ca.uhn.fhir.rest.annotation.TransactionParam;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.PatchTypeEnum;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.param.DateParam;
import ca.uhn.fhir.rest.param.TokenParam;
import ca.uhn.fhir.rest.server.IResourceProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.exceptions.ForbiddenOperationException;
import ca.uhn.fhir.rest.server.exceptions.InvalidRequestException;
import ca.uhn.fhir.rest.server.exceptions.PreconditionFailedException;
import ca.uhn.fhir.rest.server.exceptions.ResourceGoneException;
import ca.uhn.fhir.rest.server.exceptions.ResourceNotFoundException;
import ca.uhn.fhir.rest.server.exceptions.UnprocessableEntityException;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ValidationResult;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.github.fge.jsonpatch.JsonPatch;
import jakarta.servlet.Servlet;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.IdType;
import org.hl7.fhir.r4.model.Identifier;
import org.hl7.fhir.r4.model.Patient;

/**
 * An R4 server of Patients in memory on HAPI's own: its REST rules, parameters, strict parser, OperationOutcomes and
 * validator, and java-json-tools' JSON Patch. What a patch made goes to standard output, a line each; it ends with
 * standard input. A family name tells it that somebody else is changing the record.
 */
class FhirServer {
  static final FhirContext CONTEXT = FhirContext.forR4();
  static final int VALIDATED = 10; // the validator takes a hundred times as long as everything else

  public static void main(String[] arguments) throws Exception {
    CONTEXT.setParserErrorHandler(new StrictErrorHandler());
    RestfulServer restful = new RestfulServer(CONTEXT);
    Patients patients = new Patients();
    restful.setResourceProviders(List.of(patients));
    Server server = new Server(Integer.parseInt(arguments[0]));
    ServletContextHandler handler = new ServletContextHandler("/");
    handler.addServlet(new ServletHolder((Servlet) restful), "/R4/*");
    server.setHandler(handler);
    server.start();
    new Thread(() -> patients.validator.validateWithResult(new Patient())).start(); // its first time takes seconds
    System.out.print("ready\n");
    System.out.flush();
    while (System.in.read() != -1) {}
    System.exit(0);
  }

  public static class Patients implements IResourceProvider {
    private final Map<String, Patient> kept = new ConcurrentHashMap<>();
    private final Map<String, Set<String>> byNumber = new ConcurrentHashMap<>();
    private final AtomicInteger patched = new AtomicInteger();
    private final ObjectMapper json = new ObjectMapper();
    private final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    private final FhirValidator validator =
        CONTEXT
            .newValidator()
            .registerValidatorModule(
                new FhirInstanceValidator(
                    new ValidationSupportChain(
                        new DefaultProfileValidationSupport(CONTEXT),
                        new CommonCodeSystemsTerminologyService(CONTEXT),
                        new InMemoryTerminologyServerValidationSupport(CONTEXT))));

    @Override
    public Class<Patient> getResourceType() {
      return Patient.class;
    }

    @Create
    public MethodOutcome create(@ResourceParam Patient patient) {
      return keep(patient, "p" + (kept.size() + 1), 1);
    }

    @Transaction
    public Bundle fill(@TransactionParam Bundle bundle) {
      bundle.getEntry().forEach(entry -> create((Patient) entry.getResource()));
      return new Bundle().setType(Bundle.BundleType.TRANSACTIONRESPONSE);
    }

    @Read
    public Patient read(@IdParam IdType id) {
      Patient found = kept.get(id.getIdPart());
      if (found == null) {
        throw new ResourceNotFoundException(id);
      }
      return found;
    }

    @Search
    public List<Patient> search(
        @OptionalParam(name = Patient.SP_IDENTIFIER) TokenParam identifier,
        @OptionalParam(name = Patient.SP_BIRTHDATE) DateParam born) {
      if (identifier == null || born == null) {
        throw new InvalidRequestException("identifier and birthdate are needed");
      }
      return byNumber.getOrDefault(identifier.getSystem() + "|" + identifier.getValue(), Set.of()).stream()
          .map(kept::get)
          .filter(patient -> patient.getBirthDateElement().getValueAsString().equals(born.getValueAsString()))
          .collect(Collectors.toList());
    }

    @Patch
    public MethodOutcome patch(
        @IdParam IdType id, PatchTypeEnum type, @ResourceParam String body, RequestDetails request) throws Exception {
      if (type != PatchTypeEnum.JSON_PATCH) {
        throw new InvalidRequestException("a JSON Patch is needed");
      }
      synchronized (id.getIdPart().intern()) {
        Patient before = read(id.toUnqualifiedVersionless());
        String version = before.getIdElement().getVersionIdPart();
        switch (before.getNameFirstRep().getFamily()) {
          case "Prysur" -> { // somebody else changes it each time it is read
            keep(before, id.getIdPart(), Integer.parseInt(version) + 1);
            throw new PreconditionFailedException("changed meanwhile");
          }
          case "Unwaith" -> { // and here once
            if (version.equals("1")) {
              keep(before, id.getIdPart(), 2);
            }
          }
          case "Gwaharddedig" -> throw new ForbiddenOperationException("no");
          case "Mynd" -> throw new ResourceGoneException(id);
          default -> {}
        }
        String current = "W/\"" + kept.get(id.getIdPart()).getIdElement().getVersionIdPart() + "\"";
        if (!current.equals(request.getHeader("If-Match"))) {
          throw new PreconditionFailedException("the version is another");
        }
        IParser parser = CONTEXT.newJsonParser();
        String after =
            JsonPatch.fromJson(json.readTree(body)).apply(json.readTree(parser.encodeResourceToString(before))).toString();
        Patient made = parser.parseResource(Patient.class, after);
        if (patched.incrementAndGet() <= VALIDATED) {
          ValidationResult result = validator.validateWithResult(made);
          if (!result.isSuccessful()) {
            throw new UnprocessableEntityException(CONTEXT, result.toOperationOutcome());
          }
        }
        MethodOutcome outcome = keep(made, id.getIdPart(), Integer.parseInt(version) + 1);
        synchronized (out) {
          out.print(parser.encodeResourceToString(made) + "\n");
          out.flush();
        }
        return outcome;
      }
    }

    private MethodOutcome keep(Patient patient, String id, int version) {
      Patient copy = patient.copy();
      copy.setId(new IdType("Patient", id, String.valueOf(version)));
      copy.getMeta().setVersionId(String.valueOf(version));
      kept.put(id, copy);
      for (Identifier one : copy.getIdentifier()) {
        byNumber.computeIfAbsent(one.getSystem() + "|" + one.getValue(), key -> ConcurrentHashMap.newKeySet()).add(id);
      }
      return new MethodOutcome(copy.getIdElement(), version == 1).setResource(copy);
    }
  }
}
